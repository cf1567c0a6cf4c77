import { routerContract } from '#services/router/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import type { QueueGroup, SummaryBy } from '#shared/queue/summary.ts';
import type { Clients } from '../clients.ts';

/** How much mail of each kind waits: what the pages of a node have, added up, and that of all nodes. */

/** All of one node; with `domains`, of their mail alone. */
export async function groupsOf(
  clients: Clients,
  node: string,
  request: { by: SummaryBy; filter: QueueFilter; domains?: string[] | undefined },
): Promise<QueueGroup[]> {
  const router = clients.client(routerContract);
  const sums: Sums = new Map();
  for (let after: string | undefined = ''; after !== undefined; ) {
    const part: { groups: QueueGroup[]; next?: string | undefined; bounded?: true | undefined } = await router[
      'queue-summarize'
    ]({ ...request, after }, { node });
    if (request.domains !== undefined && part.bounded !== true)
      throw new SealpostError('unavailable', 'its version cannot count the mail of some domains alone: update it');
    add(sums, part.groups);
    after = part.next;
  }
  return [...sums.values()];
}

type Sums = Map<string, QueueGroup>;

function add(sums: Sums, groups: readonly QueueGroup[]): void {
  for (const group of groups) {
    const sum = sums.get(group.key);
    if (sum === undefined) {
      sums.set(group.key, { ...group });
      continue;
    }
    sum.messages += group.messages;
    sum.oldest = Math.min(sum.oldest, group.oldest);
    if (group.next !== undefined) sum.next = Math.min(sum.next ?? group.next, group.next);
    if (group.held !== undefined) sum.held = (sum.held ?? 0) + group.held;
    if ((group.last?.at ?? 0) > (sum.last?.at ?? 0)) sum.last = group.last;
    if ((group.backoff?.until ?? 0) > (sum.backoff?.until ?? 0)) sum.backoff = group.backoff;
  }
}

/** One of each name, the largest first. */
export function merged(groups: readonly QueueGroup[]): QueueGroup[] {
  const sums: Sums = new Map();
  add(sums, groups);
  return [...sums.values()].toSorted((a, b) => b.messages - a.messages || (a.key < b.key ? -1 : 1));
}
