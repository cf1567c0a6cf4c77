import type { NextHop } from '../delivery/job.ts';
import { dueAt, type Message } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';
import type { Routing } from './routing.ts';

/** Which recipients of a message go together, and where those wait that cannot go now. */

/** Recipients due this soon go along with those that are due now. */
const TOGETHER_MS = 20_000;

/** The recipients that are due, by their next hop and its limit. */
export function dueByHop(
  slot: Slot,
  message: Message,
  routing: Routing,
): { hop: NextHop | undefined; indexes: number[] }[] {
  const groups = new Map<string, { hop: NextHop | undefined; indexes: number[] }>();
  const soon = slot.forced ? Number.MAX_VALUE : Date.now() + TOGETHER_MS;
  for (const [index, r] of message.recipients.entries()) {
    if (r.busy || dueAt(r.status) > soon) continue;
    const hop = routing.nextHop(r.recipient.address);
    const key = hop === undefined ? '' : `${hop.key} ${hop.limit ?? ''}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { hop, indexes: [index] });
    else group.indexes.push(index);
  }
  return [...groups.values()];
}

/** Where a message waits that cannot go now: before its next hop, or before the limit of its destination. */
export function crowdOf({ key, limit }: NextHop): string {
  return limit === undefined ? key : `${PACED}${limit}`;
}

const PACED = 'limit ';
/** Whether a crowd waits for its turn at a rate. */
export const isPaced = (crowd: string): boolean => crowd.startsWith(PACED);

/** The next hop of mail that has none. */
export const NOWHERE: NextHop = { key: '', spec: { kind: 'discard' }, tls: 'off' };
