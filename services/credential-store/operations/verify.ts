import { errorText } from '#shared/errors.ts';
import type { DnsView } from '../contract.ts';
import { expectedOf } from '../dns/views.ts';
import { createWorld } from '../driver/node-effects.ts';
import type { KeyRecord } from '../records/domain-record.ts';
import type { Office } from './deps.ts';

/** Look at a key from every live node: what DNS says there, and whether the signers there can sign with it. */
export async function verifyKey(
  office: Office,
  domain: string,
  key: KeyRecord,
): Promise<{ views: DnsView[]; unproven: { node: string; reason: string }[] }> {
  const world = createWorld(office);
  const live = office.presence.live();
  const nodesOf = (kind: string): string[] => [...new Set(live.filter((h) => h.kind === kind).map((h) => h.node))];
  const looks = key.publication.by === 'none' ? [] : nodesOf('credential-store');
  const views = looks.map(async (node): Promise<DnsView> => {
    try {
      return await world.look(node, domain, key, expectedOf(key));
    } catch (error) {
      const summary = `${node} cannot be asked: ${errorText(error)}`;
      return { node, verdict: 'error', summary, servers: [], at: Date.now() };
    }
  });
  const proofs = (key.wrapped === undefined ? [] : nodesOf('signer')).map(async (node) => {
    try {
      await world.prove(node, domain, key);
      return [];
    } catch (error) {
      return [{ node, reason: errorText(error) }];
    }
  });
  return { views: await Promise.all(views), unproven: (await Promise.all(proofs)).flat() };
}
