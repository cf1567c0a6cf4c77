import type { Config } from '#cluster/config/schema/schema.ts';
import type { EnvelopeRecipient, RecipientStatus } from '#shared/mail/envelope.ts';
import type { RecipientResult } from '../delivery/job.ts';
import type { Recipient } from '../store/message.ts';
import type { MessageRecord } from '../store/records.ts';

/** Which notices the sender gets about which recipients (RFC 3461 §4.1, §5.2, §6). Pure. */

/** A recipient and the status it gets. `silent`: nothing new in it, so it is not written. */
export type StatusChange = {
  recipient: Recipient;
  status: RecipientStatus;
  /** As of a result; `expanded`, `list`: a list stands in the place of its recipients (listChanges). */
  notice: RecipientResult['notice'] | 'expanded' | 'list';
  silent: boolean;
  /** It stays deferred because of this node. */
  local?: boolean;
};

export type NoticeKind = 'failed' | 'delayed' | 'succeeded';

/** The recipients that each kind of notice has to name; an empty list needs no notice. */
export type Notices = Record<NoticeKind, StatusChange[]>;

export const NO_NOTICES: Notices = { failed: [], delayed: [], succeeded: [] };

export function anyNotice(plan: Notices): boolean {
  return plan.failed.length > 0 || plan.delayed.length > 0 || plan.succeeded.length > 0;
}

const ASKED: Record<NoticeKind, 'FAILURE' | 'DELAY' | 'SUCCESS'> = {
  failed: 'FAILURE',
  delayed: 'DELAY',
  succeeded: 'SUCCESS',
};

/**
 * Whether the sender wants to hear of this recipient. Without NOTIFY: of failures, and of delays, which §4.1 leaves to
 * the router (RFC 3461 §5.2.5: "MAY").
 */
export function wants({ notify }: EnvelopeRecipient, kind: NoticeKind): boolean {
  return notify === undefined ? kind !== 'succeeded' : notify.includes(ASKED[kind]);
}

/** The options that say which notices are sent; `delay-notice` in ms, 0 is never. */
export type NoticeOptions = {
  queue: Pick<Config['queue'], 'delay-notice'>;
  dsn: Pick<Config['dsn'], 'relay-reports' | 'null-reverse-path'>;
};

/** The notices that these changes call for. A delay is told once, for every recipient that is late by then. */
export function planNotices(
  { record, recipients }: { record: MessageRecord; recipients: readonly Recipient[] },
  changes: readonly StatusChange[],
  now: number,
  { queue, dsn }: NoticeOptions,
): Notices {
  const plan: Notices = { failed: [], delayed: [], succeeded: [] };
  // RFC 5321 §4.5.5, RFC 3461 §6: no notice goes back to the null reverse-path.
  if (record.reversePath === '') {
    const told = isFromElsewhere(record) && dsn['null-reverse-path'] === 'postmaster';
    const isTold = ({ status, recipient }: StatusChange) => isFailure(status) && !isJournal(recipient.recipient);
    return told ? { ...plan, failed: changes.filter(isTold) } : plan;
  }
  for (const change of changes) {
    const { state } = change.status;
    const { recipient } = change.recipient;
    if (isFailure(change.status) && wants(recipient, 'failed')) plan.failed.push(change);
    // RFC 3461 §5.2.1: a next hop that offers DSN took over the duty to notify, so not for `passed`.
    const ours = change.notice === 'final' || (change.notice === 'relayed' && dsn['relay-reports']);
    if (state === 'delivered' && ours && wants(recipient, 'succeeded')) plan.succeeded.push(change);
  }
  if (changes.length > 0 && record.listsNoticed !== true) plan.succeeded.push(...listChanges(recipients));
  const late = queue['delay-notice'] > 0 && now - record.arrived >= queue['delay-notice'];
  if (!late || record.delayNoticed || !changes.some((c) => c.status.state === 'deferred')) return plan;
  const after = new Map(changes.map((c) => [c.recipient, c]));
  for (const recipient of recipients) {
    const change = after.get(recipient) ?? { recipient, status: recipient.status, notice: undefined, silent: true };
    const { status } = change;
    // Not yet tried where it goes now: the refusal is that of a mailbox that the sender did not write to.
    const hidden = status.state === 'deferred' && status.attempts === 0 && recipient.junkToRefused === true;
    if (status.state === 'deferred' && !hidden && wants(recipient.recipient, 'delayed')) plan.delayed.push(change);
  }
  return plan;
}

/** The same for mail that is not to be decided about now: nothing is said of what stays in the queue. */
export function planWhileKept(...[message, changes, now, options]: Parameters<typeof planNotices>): Notices {
  if (changes.every(({ status }) => status.state === 'deferred')) return NO_NOTICES;
  return { ...planNotices(message, changes, now, options), delayed: [] };
}

/** What is left of a plan once another attempt may have told the sender something that is told once. */
export function untold(plan: Notices, { delayNoticed, listsNoticed }: MessageRecord): Notices {
  const succeeded = listsNoticed === true ? plan.succeeded.filter((change) => !isOfList(change)) : plan.succeeded;
  return { ...plan, succeeded, delayed: delayNoticed ? [] : plan.delayed };
}

/** Note in the record what of that a plan tells; answers whether there is something. */
export function noteTold(record: MessageRecord, { delayed, succeeded }: Notices): boolean {
  const lists = succeeded.some(isOfList);
  record.delayNoticed ||= delayed.length > 0;
  if (lists) record.listsNoticed = true;
  return lists || delayed.length > 0;
}

/**
 * What the sender hears of an alias or group that stood for several recipients, where it asked for reports of success
 * (RFC 3461 §5.2.7): that it was expanded, or that the mailing list has the message. Told with the first thing that becomes of
 * a recipient.
 */
function listChanges(recipients: readonly Recipient[]): StatusChange[] {
  const lists = new Map<string, StatusChange>();
  for (const { recipient } of recipients) {
    const { list, original } = recipient;
    if (list === undefined || original === undefined || lists.has(original)) continue;
    // The notices about a member of a mailing list are its owner's, this one is the sender's.
    const address =
      list === 'expanded'
        ? { address: original, orcpt: recipient.orcpt, reportTo: recipient.reportTo }
        : { address: original };
    const status = { state: 'waiting' as const };
    const notice = list === 'expanded' ? 'expanded' : 'list';
    lists.set(original, { recipient: { recipient: address, status, busy: false }, status, notice, silent: true });
  }
  return [...lists.values()];
}

export function isOfList({ notice }: StatusChange): boolean {
  return notice === 'expanded' || notice === 'list';
}

export function isFailure({ state }: RecipientStatus): boolean {
  return state === 'failed' || state === 'expired';
}

/**
 * Whether others sent it. What this router writes itself (notices, reports) causes no notice, to nobody, whatever becomes
 * of it: so there is never a notice about a notice of ours.
 */
function isFromElsewhere({ origin }: MessageRecord): boolean {
  return origin.kind !== 'internal';
}

/**
 * Mail that failed and is kept, because nobody hears of it: the copy for an archive; and that of others which cannot be
 * returned, where such mail is kept.
 */
export function isDeadLetter(
  record: MessageRecord,
  recipient: EnvelopeRecipient,
  status: RecipientStatus,
  { dsn }: NoticeOptions,
): boolean {
  if (!isFailure(status)) return false;
  if (isJournal(recipient)) return true;
  return record.reversePath === '' && isFromElsewhere(record) && dsn['null-reverse-path'] === 'hold';
}

function isJournal({ journal }: EnvelopeRecipient): boolean {
  return journal !== undefined;
}
