import { domainOf, normalizeAddress, normalizeDomain } from '#shared/address/address.ts';
import type { NextHopBackoff } from '#shared/mail/queue-entry.ts';
import type { Reply } from '#shared/mail/reply.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import { replyPattern } from '#shared/queue/reply-pattern.ts';
import { NOT_TRIED, type QueueGroup, type SummaryBy } from '#shared/queue/summary.ts';
import { cut } from '#shared/text.ts';
import { dueAt, isFinal, type Message, type Recipient } from '../store/message.ts';
import type { MessageRecord } from '../store/records.ts';
import { isMail } from './change.ts';
import { hopKeyOf, type SelectionDeps, walkPage } from './selection.ts';
import { backoffOf, type Pauses, shownStatus } from './waiting.ts';

/**
 * How many messages of the queue there are of each kind. A page has the counts of the messages that it has looked at; whoever
 * asks adds them up. A message of several kinds counts in each.
 */

export type SummaryRequest = {
  by: SummaryBy;
  filter: QueueFilter;
  after?: string | undefined;
  domains?: string[] | undefined;
};
export type SummaryPage = { groups: QueueGroup[]; next?: string; bounded?: true };

/** Characters of the names of groups in a page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;
/** JSON of a group beside its name: of one with words of hosts, and of others. */
const GROUP_CHARACTERS = { worded: 1000, plain: 100 };
/** Characters of a reply in a group. */
const LONGEST_REPLY = 200;

type Group = QueueGroup & { held: number };
type Looked = { recipient: Recipient; backoff: NextHopBackoff | undefined };

export async function summaryPage(
  deps: SelectionDeps & Pauses & { node: string },
  { by, filter, after, domains }: SummaryRequest,
): Promise<SummaryPage> {
  const groups = new Map<string, Group>();
  let characters = 0;
  const of = domains === undefined ? () => true : belongsTo(new Set(domains.map(normalizeDomain)));
  const next = await walkPage(deps, { filter, after, of }, (message, slot) => {
    const recipients = message.recipients.filter((one) => of(one, message));
    if (recipients.length === 0) return false;
    const looked = recipients.map((recipient) => ({ recipient, backoff: backoffOf(deps, message, recipient) }));
    const due = slot.state === 'hold' ? undefined : nextAttempt(looked);
    for (const [key, own] of keysOf(by, message, looked, deps.node)) {
      const group = groups.get(key) ?? { key, messages: 0, oldest: message.record.arrived, held: 0 };
      if (!groups.has(key)) characters += key.length + GROUP_CHARACTERS[own.length === 0 ? 'plain' : 'worded'];
      group.messages++;
      if (due === undefined) group.held++;
      group.oldest = Math.min(group.oldest, message.record.arrived);
      if (due !== undefined) group.next = Math.min(group.next ?? due, due);
      for (const one of own) addCause(group, one, () => hopKeyOf(deps.routing, message, one.recipient));
      groups.set(key, group);
    }
    return characters >= PAGE_CHARACTERS;
  });
  return {
    groups: [...groups.values()],
    ...(next !== undefined && { next }),
    ...(domains !== undefined && { bounded: true }),
  };
}

/** Whether a recipient is in one of the domains, also as it was before aliases, or the whole message comes from one. */
function belongsTo(domains: ReadonlySet<string>) {
  const isIn = (address: string): boolean => domains.has(normalizeDomain(domainOf(address)));
  return ({ recipient: { address, original } }: Recipient, { record }: Message): boolean =>
    isIn(record.reversePath) || isIn(address) || (original !== undefined && isIn(original));
}

function nextAttempt(recipients: readonly Looked[]): number {
  return Math.min(...recipients.map(({ recipient, backoff }) => dueAt(shownStatus(recipient.status, backoff))));
}

/** Why the mail of a group waits: the newest word, and the longest back-off. */
function addCause(group: Group, { recipient: { status }, backoff }: Looked, hopOf: () => string): void {
  if (status.state === 'deferred' && status.outcome.at > (group.last?.at ?? 0)) {
    const { at, host, reply } = status.outcome;
    group.last = { at, reply: shortened(reply), ...(host !== undefined && { host }) };
  }
  if (backoff !== undefined && backoff.until > (group.backoff?.until ?? 0))
    group.backoff = { ...backoff, reply: shortened(backoff.reply), nextHop: hopOf() };
}

const shortened = (reply: Reply): Reply => ({ ...reply, text: cut(reply.text, LONGEST_REPLY) });

/** The groups of a message, each with the recipients that put it there, where it is about them. */
function keysOf(
  by: SummaryBy,
  { record }: Message,
  recipients: readonly Looked[],
  node: string,
): Iterable<[key: string, recipients: readonly Looked[]]> {
  if (by === 'node') return [[node, []]];
  if (by === 'sender') return [[record.reversePath || '<>', []]];
  if (by === 'hold') return record.held ? [[holdText(record), []]] : [];
  const open = recipients.filter(({ recipient }) => !isFinal(recipient.status));
  if (by === 'archive')
    return new Map(
      open
        .filter((one) => !isMail(one.recipient))
        .map((one) => [normalizeAddress(one.recipient.recipient.address), []]),
    );
  if (by === 'destination')
    return Map.groupBy(open, ({ recipient }) => normalizeDomain(domainOf(recipient.recipient.address)));
  return Map.groupBy(open, ({ recipient: { status } }) =>
    status.state === 'deferred' ? replyPattern(status.outcome.reply) : NOT_TRIED,
  );
}

/** `rule court-order`, `operator`. */
function holdText({ hold }: MessageRecord): string {
  const by = hold?.by ?? 'operator';
  return hold?.rule === undefined ? by : `${by} ${hold.rule}`;
}
