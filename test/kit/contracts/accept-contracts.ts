import { CONTRACTS } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';
import { incompatibilities, readSnapshot, refusal, snapshotOf, writeSnapshot } from './contract-snapshot.ts';

/** Takes compatible changes of contracts into their snapshots; refuses others. */

for (const contract of Object.values(CONTRACTS) as Contract[]) {
  const { name, version } = contract;
  const before = await readSnapshot(contract);
  const problems = before === undefined ? [] : incompatibilities(before, snapshotOf(contract));
  if (problems.length > 0) {
    console.error(refusal(contract, problems));
    process.exitCode = 1;
    continue;
  }
  await writeSnapshot(contract);
  if (before === undefined) console.log(`${name} v${version} is new`);
  else if (JSON.stringify(before) !== JSON.stringify(snapshotOf(contract))) console.log(`${name} v${version} changed`);
}
