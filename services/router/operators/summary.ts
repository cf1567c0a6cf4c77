import { domainOf, normalizeAddress, normalizeDomain } from '#shared/address/address.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import { replyPattern } from '#shared/queue/reply-pattern.ts';
import type { QueueGroup, SummaryBy } from '#shared/queue/summary.ts';
import { dueAt, isFinal, type Message, type Recipient } from '../store/message.ts';
import type { MessageRecord } from '../store/records.ts';
import { isMail } from './change.ts';
import { type SelectionDeps, walkPage } from './selection.ts';
import { backoffOf, type Pauses, shownStatus } from './waiting.ts';

/**
 * How many messages of the queue there are of each kind. A page has the counts of the messages that it has looked at; whoever
 * asks adds them up. A message of several kinds counts in each.
 */

export type SummaryRequest = { by: SummaryBy; filter: QueueFilter; after?: string | undefined };
export type SummaryPage = { groups: QueueGroup[]; next?: string };

/** Characters of the names of groups in a page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;
/** JSON of a group beside its name. */
const GROUP_CHARACTERS = 80;

export async function summaryPage(
  deps: SelectionDeps & Pauses & { node: string },
  { by, filter, after }: SummaryRequest,
): Promise<SummaryPage> {
  const groups = new Map<string, QueueGroup>();
  let characters = 0;
  const next = await walkPage(deps, { filter, after }, (message, slot) => {
    const due = slot.state === 'hold' ? undefined : nextAttempt(deps, message);
    for (const key of keysOf(by, message, deps.node)) {
      const group = groups.get(key) ?? { key, messages: 0, oldest: message.record.arrived };
      if (!groups.has(key)) characters += key.length + GROUP_CHARACTERS;
      group.messages++;
      group.oldest = Math.min(group.oldest, message.record.arrived);
      if (due !== undefined) group.next = Math.min(group.next ?? due, due);
      groups.set(key, group);
    }
    return characters >= PAGE_CHARACTERS;
  });
  return { groups: [...groups.values()], ...(next !== undefined && { next }) };
}

function nextAttempt(deps: SelectionDeps & Pauses, message: Message): number {
  const statusOf = (one: Recipient) => shownStatus(one.status, backoffOf(deps, message, one));
  return Math.min(...message.recipients.map((one) => dueAt(statusOf(one))));
}

function keysOf(by: SummaryBy, { record, recipients }: Message, node: string): Iterable<string> {
  if (by === 'node') return [node];
  if (by === 'sender') return [record.reversePath || '<>'];
  if (by === 'hold') return record.held ? [holdText(record)] : [];
  const open = recipients.filter(({ status }) => !isFinal(status));
  if (by === 'archive')
    return new Set(open.filter((one) => !isMail(one)).map(({ recipient }) => normalizeAddress(recipient.address)));
  if (by === 'destination') return new Set(open.map(({ recipient }) => normalizeDomain(domainOf(recipient.address))));
  return new Set(
    open.map(({ status }) => (status.state === 'deferred' ? replyPattern(status.outcome.reply) : 'not tried yet')),
  );
}

/** `rule court-order`, `operator`. */
function holdText({ hold }: MessageRecord): string {
  const by = hold?.by ?? 'operator';
  return hold?.rule === undefined ? by : `${by} ${hold.rule}`;
}
