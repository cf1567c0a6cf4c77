import type { NextHop } from '../delivery/job.ts';
import { dueAt, type Message } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';
import type { Routing } from './routing.ts';

/** Which recipients of a message are tried together. */

/** Recipients due this soon go along with those that are due now. */
const TOGETHER_MS = 20_000;

/** Recipients of one message, by index, that share a next hop and its limit. No hop: their route leads nowhere. */
export type Group = { hop: NextHop | undefined; indexes: number[] };

/** The recipients that are due. */
export function dueByHop(slot: Slot, message: Message, routing: Routing): Group[] {
  const groups = new Map<string, Group>();
  const soon = slot.forced ? Number.MAX_VALUE : Date.now() + TOGETHER_MS;
  for (const [index, r] of message.recipients.entries()) {
    if (r.busy || dueAt(r.status) > soon) continue;
    const hop = routing.nextHop(r.recipient.address);
    const key = hop === undefined ? '' : `${hop.key} ${hop.conversion ?? ''} ${hop.limit ?? ''}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { hop, indexes: [index] });
    else group.indexes.push(index);
  }
  return [...groups.values()];
}
