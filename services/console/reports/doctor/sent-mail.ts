import type { Member } from '#cluster/members/member-contract.ts';
import { routerContract } from '#services/router/contract.ts';
import type { Directive } from '#shared/directive.ts';
import type { LostTls } from '#shared/mail/tls.ts';
import type { Clients } from '../clients.ts';
import { askEach } from '../keys/key-list.ts';

/** What the routers say of mail that left, or waits, with less than it had before; and of what operators told them. */

/** Mail that left without a signature although its domain is to be signed, since the routers started. */
export type UnsignedMail = { domain: string; reason: string; count: number };
export type SentMail = { unsigned: UnsignedMail[]; lostTls: LostTls[]; directives: Directive[] };

/** How long a process may take before it counts as silent; `sealpost cluster status` says which are. */
const PATIENCE = { timeout: 3000 };

/** Ask every router that is known; most messages first. */
export async function gatherSentMail({ client }: Clients, members: readonly Member[]): Promise<SentMail> {
  const routers = members.filter(({ state, services }) => state !== 'gone' && services.includes('router'));
  const answers = await askEach(routers, ({ process }) =>
    client(routerContract)
      ['status-show']({}, { ...PATIENCE, node: process })
      .catch(() => ({ unsigned: [], lostTls: [], directives: [] })),
  );
  const unsigned = [
    ...Map.groupBy(
      answers.flatMap((answer) => answer.unsigned),
      ({ domain, reason }) => JSON.stringify([domain, reason]),
    ).values(),
  ].flatMap((same) => {
    const count = same.reduce((sum, entry) => sum + entry.count, 0);
    return same.slice(0, 1).map(({ domain, reason }) => ({ domain, reason, count }));
  });
  const lost = Map.groupBy(
    answers.flatMap(({ lostTls = [] }) => lostTls),
    ({ domain }) => domain,
  );
  return {
    directives: [
      ...new Map(
        answers
          .flatMap(({ directives = [] }) => directives)
          .map((one) => [`${one.kind} ${one.about} ${one.name}`, one]),
      ).values(),
    ],
    unsigned: unsigned.sort((a, b) => b.count - a.count),
    lostTls: [...lost.values()].flatMap((same) => same.toSorted((a, b) => a.since - b.since).slice(0, 1)),
  };
}
