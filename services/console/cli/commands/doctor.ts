import type { Command } from 'commander';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { MEMBER_FINDINGS } from '../../reports/cluster/members.ts';
import { examine } from '../../reports/doctor/checks.ts';
import { type Facts, needsAttention } from '../../reports/doctor/finding.ts';
import { gatherDoctor } from '../../reports/doctor/gather.ts';
import { type Caller, type CommonOptions, print, readConfig, withCommon, withStore } from '../context.ts';
import { EXIT } from '../exit.ts';
import { findingLine } from '../findings.ts';

export function register(program: Command): void {
  withCommon(program.command('doctor'))
    .description(
      'look at every key from every node, and say what is wrong and what to do; fails on errors and warnings',
    )
    .argument('[domain]', 'only the keys that sign its mail (nodes and NEKs are looked at in any case)')
    .action(doctor);
}

async function doctor(domain: string | undefined, options: CommonOptions): Promise<void> {
  const config = await readConfig(options, ['domains', 'credentials', 'routes']);
  const facts = await withStore(options, (store, caller) =>
    gatherDoctor(caller, store, config, domain).catch(async (error: unknown) => {
      throw await explained(error, caller);
    }),
  );
  const findings = examine(facts);
  const ok = !needsAttention(findings);
  print(options, { ok, node: facts.status.node, ...counts(facts), findings }, () =>
    [...findings.map(findingLine), summary(facts, findings.length)].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** Without a credential-store there is little to say, but perhaps why there is none. */
async function explained(error: unknown, caller: Caller): Promise<unknown> {
  if (!(error instanceof SealpostError) || error.code !== CALL_ERRORS.unavailable) return error;
  const members = await caller.meet().catch(() => []);
  const reasons = [
    ...new Set(
      Object.values(MEMBER_FINDINGS)
        .flatMap((find) => find(members))
        .map(findingLine),
    ),
  ];
  return reasons.length === 0 ? error : new SealpostError(error.code, [error.message, ...reasons].join('\n'));
}

const counts = ({ keys, status }: Facts) => ({
  keys: keys.length,
  nodes: new Set(status.holders.map((h) => h.node)).size,
});

function summary(facts: Facts, findings: number): string {
  const { keys, nodes } = counts(facts);
  const looked = `${keys} ${keys === 1 ? 'key' : 'keys'} on ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
  return findings === 0 ? `${looked}: nothing to do` : `${looked} looked at`;
}
