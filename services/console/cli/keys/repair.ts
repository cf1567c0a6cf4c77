import type { RepairedRecord } from '#services/credential-store/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { clean } from '../table.ts';

/**
 * `sealpost keys repair [domain]`: write records again from the newest authentic copy of any node; without a domain all
 * that nodes refused. Each node knows what it refused itself, so every live one is asked.
 */
export async function repair(domain: string | undefined, options: CommonOptions): Promise<void> {
  const repaired = await withStore(options, async (store) => {
    if (domain !== undefined) return (await store['record-repair']({ domain })).repaired;
    const { node: own, holders } = await store['status-show']({});
    const stores = holders.flatMap((h) => (h.kind === 'credential-store' ? [h.node] : []));
    const all: RepairedRecord[] = [];
    for (const node of new Set([own, ...stores])) {
      all.push(...(await store['record-repair']({}, { node })).repaired);
    }
    return all;
  });
  print(options, { repaired }, () =>
    repaired.length === 0 ? 'no record needs repair' : repaired.map((record) => clean(repairedText(record))).join('\n'),
  );
  const lost = repaired.filter(({ found }) => !found).map(({ record }) => record);
  if (lost.length > 0 && domain !== undefined) {
    const text = `no node has an authentic record of ${lost.join(', ')}: restore a backup of the data, or make new keys`;
    throw new SealpostError('not-found', text);
  }
}

function repairedText({ record, found, from, version }: RepairedRecord): string {
  if (!found) return `${record}: no node has an authentic record; what stood in its place is deleted`;
  const source = from === undefined ? 'the answering node' : `node ${from}`;
  return `${record}: written again from the copy of ${source}, version ${version}`;
}
