import type { NextHop } from '../delivery/job.ts';
import { dueAt, type Message } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';
import type { Routing } from './routing.ts';

/** Which recipients of a message are tried together. */

/** Recipients due this soon go along with those that are due now. */
const TOGETHER_MS = 20_000;

/**
 * Recipients of one message, by index, that share a next hop, its limit and a reverse-path. No hop: their route leads
 * nowhere.
 */
export type Group = { hop: NextHop | undefined; indexes: number[] };

/**
 * The recipients that are due, now that the schedule has called the message. Their own times are of the wall clock, which
 * may have stepped back since: so the first of them is due, whatever its time is.
 */
export function dueByHop(slot: Slot, message: Message, routing: Routing): Group[] {
  const groups = new Map<string, Group>();
  let first = Number.POSITIVE_INFINITY;
  for (const r of message.recipients) if (!r.busy) first = Math.min(first, dueAt(r.status));
  if (first === Number.POSITIVE_INFINITY) return [];
  const soon = slot.forced ? Number.MAX_VALUE : Math.max(Date.now(), first) + TOGETHER_MS;
  for (const [index, r] of message.recipients.entries()) {
    if (r.busy || dueAt(r.status) > soon) continue;
    const hop = routing.nextHop(r.recipient.address);
    const path = hop === undefined ? '' : `${hop.key} ${hop.conversion ?? ''} ${hop.limit ?? ''}`;
    const { reversePath } = r.recipient;
    const key = reversePath === undefined ? path : `${path} <${reversePath}>`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { hop, indexes: [index] });
    else group.indexes.push(index);
  }
  return [...groups.values()];
}
