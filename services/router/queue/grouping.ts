import { needsSmtpUtf8 } from '#shared/address/address.ts';
import type { Directive } from '#shared/directive.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { JobRecipient, NextHop } from '../delivery/job.ts';
import type { SuspendedMail } from '../directives/suspended.ts';
import { dueAt, isJunk, type Message } from '../store/message.ts';
import type { RecipientRecord } from '../store/records.ts';
import type { Slot } from '../store/slots.ts';
import { hopOfMessage } from './message-hop.ts';
import type { Routed, Routing } from './routing.ts';

/** Which recipients of a message are tried together. */

/** Recipients due this soon go along with those that are due now. */
const TOGETHER_MS = 20_000;

/**
 * Recipients of one message that share a next hop, its limit and a reverse-path, and get it as junk or do not, with SMTPUTF8
 * or without. No hop: their route leads nowhere. The address of one is that of the mailbox for junk, where that is where it goes.
 */
export type Group = {
  hop: NextHop | undefined;
  junk: boolean;
  recipients: JobRecipient[];
  /** They get a journal report. */
  report: boolean;
  /** An operator keeps their mail back. */
  suspended?: Directive;
};

/**
 * The recipients that are due, now that the schedule has called the message. Their own times are of the wall clock, which
 * may have stepped back since: so the first of them is due, whatever its time is.
 */
export function dueByHop(
  slot: Slot,
  message: Message,
  { routing, suspended }: { routing: Routing; suspended: SuspendedMail },
): Group[] {
  const groups = new Map<string, Group>();
  let first = Number.POSITIVE_INFINITY;
  for (const r of message.recipients) if (!r.busy) first = Math.min(first, dueAt(r.status));
  if (first === Number.POSITIVE_INFINITY) return [];
  const soon = slot.forced ? Number.MAX_VALUE : Math.max(Date.now(), first) + TOGETHER_MS;
  for (const [index, r] of message.recipients.entries()) {
    if (r.busy || dueAt(r.status) > soon) continue;
    const { junk, address, target, hop } = wayOf(message, r, routing);
    const recipient = address === r.recipient.address ? r.recipient : { ...r.recipient, address };
    const report = r.recipient.journal?.form === 'report';
    const kept = suspended.of(message, [r.recipient, recipient], target);
    const key = keyOf(message, recipient, { hop, junk, report, ...(kept && { suspended: kept }) });
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { hop, junk, report, recipients: [{ index, recipient }], ...(kept && { suspended: kept }) });
    else group.recipients.push({ index, recipient });
  }
  return [...groups.values()];
}

type Way = { junk: boolean; address: string; target: NextHop | undefined; hop: NextHop | undefined };

/** Where the mail of a recipient goes now; `target`: if it is not a report that is read here. */
export function wayOf(
  message: Pick<Message, 'id' | 'record'>,
  { recipient, junkToRefused }: RecipientRecord,
  routing: Routing,
): Way {
  const junk = isJunk(message, recipient);
  const { hop: routed, address } = routing.target(recipient.address, {
    ...senderOf(message, recipient),
    junk: junk && junkToRefused !== true,
  });
  const target = routed && hopOfMessage(routed, message.record);
  // What pretends to be a report may be junk as well.
  const reports = !junk && routing.takesReports(recipient);
  return { junk, address, target, hop: target !== undefined && reports ? readingHop(target) : target };
}

/** Recipients with the same one are tried together. */
function keyOf(
  message: Message,
  { address, reversePath }: EnvelopeRecipient,
  { hop, junk, report, suspended: kept }: Omit<Group, 'recipients'>,
): string {
  const words = kept === undefined ? [] : [`suspended ${kept.kind} ${kept.about} ${kept.name}`];
  if (hop !== undefined) words.push(`${hop.key} ${hop.conversion ?? ''} ${hop.limit ?? ''}`);
  if (hop?.redirected !== undefined) words.push(`redirected ${hop.redirected.name}`);
  if (junk) words.push('junk');
  if (report) words.push('report');
  // A host without SMTPUTF8 takes the message for the others.
  if (needsSmtpUtf8(address) && !asksForSmtpUtf8(message, reversePath, report)) words.push('SMTPUTF8');
  if (reversePath !== undefined) words.push(`<${reversePath}>`);
  return words.join(' ');
}

/**
 * Whether the message needs SMTPUTF8, whoever gets it (RFC 6531 §3.5). Raw 8-bit header fields of a client that did not declare
 * SMTPUTF8 pass as they are, as with every other mail router. Only declared mail asks for the extension.
 */
export function asksForSmtpUtf8({ record }: Message, reversePath = record.reversePath, report = false): boolean {
  return (record.smtpUtf8 && record.facts.eightBitHeader && !report) || needsSmtpUtf8(reversePath);
}

/** Who sends a message to a recipient. */
export function senderOf(
  { id, record }: Pick<Message, 'id' | 'record'>,
  { reversePath, routeOf }: EnvelopeRecipient,
): Omit<Routed, 'junk'> {
  return { id, reversePath: reversePath ?? record.reversePath, user: record.origin.user, routeOf, via: record.via };
}

/** A destination of its own: what waits to be read keeps nothing else back. */
function readingHop(target: NextHop): NextHop {
  return { ...target, key: `reports, else ${target.key}`, reports: target };
}
