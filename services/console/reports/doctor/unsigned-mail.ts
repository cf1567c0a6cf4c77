import type { Member } from '#cluster/members/member-contract.ts';
import { routerContract } from '#services/router/contract.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';

/** Mail that left without a signature although its domain is to be signed, since the routers started. */
export type UnsignedMail = { domain: string; reason: string; count: number };

/** How long a process may take before it counts as silent; `sealpost cluster status` says which are. */
const PATIENCE = { timeout: 3000 };

/** Ask every router that is known; most messages first. */
export async function gatherUnsigned({ client }: Clients, members: readonly Member[]): Promise<UnsignedMail[]> {
  const routers = members.filter(({ state, services }) => state !== 'gone' && services.includes('router'));
  const answers = await askEach(routers, ({ process }) =>
    client(routerContract)
      ['status-show']({}, { ...PATIENCE, node: process })
      .catch(() => ({ unsigned: [] })),
  );
  const groups = Map.groupBy(
    answers.flatMap(({ unsigned }) => unsigned),
    ({ domain, reason }) => JSON.stringify([domain, reason]),
  );
  return [...groups.values()]
    .flatMap((same) => {
      const count = same.reduce((sum, entry) => sum + entry.count, 0);
      return same.slice(0, 1).map(({ domain, reason }) => ({ domain, reason, count }));
    })
    .sort((a, b) => b.count - a.count);
}
