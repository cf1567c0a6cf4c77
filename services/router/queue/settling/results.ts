import type { Outcome, RecipientStatus } from '#shared/mail/envelope.ts';
import { formatReply, reply } from '#shared/mail/reply.ts';
import type { NextHop, RecipientResult } from '../../delivery/job.ts';
import type { StatusChange } from '../../notices/notices.ts';
import { isFinal, type Message, type Recipient } from '../../store/message.ts';
import type { SigningKeyRef } from '../../store/records.ts';

/** What a result of an attempt means for its recipient. Pure. */

/** Delivery promises a result for every recipient; one that has none is tried again, never lost. */
export function withoutResult(index: number, now: number): RecipientResult {
  const outcome = { at: now, reply: reply(451, '4.3.0', 'the attempt gave no result') };
  return { index, state: 'deferred', outcome, local: true };
}

/**
 * The same trouble of this node again: it is on disk already, and writing it every few seconds would only add to it.
 */
export function isRepeat(before: RecipientStatus, after: RecipientStatus, result: RecipientResult): boolean {
  return (
    result.local === true &&
    before.state === 'deferred' &&
    after.state === 'deferred' &&
    before.outcome.reply.text === after.outcome.reply.text &&
    before.outcome.reply.code === after.outcome.reply.code
  );
}

/** No host can do what the message asks of TLS, and it is not to be returned for that: then it waits. */
export function withheld(result: RecipientResult, { record }: Message): RecipientResult {
  return result.insecure === true && record.tls?.otherwise === 'hold' ? { ...result, state: 'deferred' } : result;
}

export type HoldReason = 'tls' | 'dead-letter' | 'journal';

/** In words, for the log. */
export const HELD: Readonly<Record<HoldReason, string>> = {
  tls: 'held for an operator: no host can do what the message asks of TLS',
  'dead-letter':
    'held for an operator: delivery failed, and the mail has the null reverse-path, so it cannot be returned (dsn.null-reverse-path)',
  journal:
    'held for an operator: an archive does not take the copy that a journal rule makes, all else is done with the message; release it when the archive works',
};

/**
 * Why an operator has to decide, once these changes are made: nothing else is left of the message than recipients that
 * cannot be reached in the TLS that it asks for, or that are dead; `journal`: archives alone. Undefined: there is no reason.
 */
export function reasonToHold(
  { record, recipients }: Message,
  changes: readonly StatusChange[],
): HoldReason | undefined {
  const awaitsTls = record.tls?.otherwise === 'hold';
  if (!awaitsTls && recipients.every(({ dead }) => dead !== true)) return undefined;
  const after = new Map(changes.map(({ recipient, status }) => [recipient, status]));
  const left = recipients.flatMap((recipient) => {
    const status = after.get(recipient) ?? recipient.status;
    const journal = recipient.recipient.journal !== undefined;
    return isFinal(status) ? [] : [{ dead: recipient.dead === true, journal, status }];
  });
  if (left.length === 0 || !left.every(({ dead, status }) => dead || (awaitsTls && isInsecure(status))))
    return undefined;
  const dead = left.filter((one) => one.dead);
  if (dead.length === 0) return 'tls';
  return dead.every(({ journal }) => journal) ? 'journal' : 'dead-letter';
}

/**
 * The recipients that a removal of the message takes out of the queue. An archive still gets the copy of what was accepted,
 * unless its copy is all that is left.
 */
function removedOf({ recipients }: Message): Recipient[] {
  const open = recipients.filter(({ status }) => !isFinal(status));
  const mail = open.filter(({ recipient }) => recipient.journal === undefined);
  return mail.length > 0 ? mail : open;
}

/** These recipients as failed. */
export function removalChanges(message: Message, outcome: Outcome): StatusChange[] {
  const status = { state: 'failed' as const, outcome };
  return removedOf(message).map((recipient) => ({ recipient, status, notice: undefined, silent: false }));
}

/** Deferred although the reply is a permanent one: ours (delivery/smtp/transport.ts). */
function isInsecure(status: RecipientStatus): boolean {
  if (status.state !== 'deferred') return false;
  const { code, enhanced } = status.outcome.reply;
  return code === 550 && (enhanced === '5.7.10' || enhanced === '5.7.30');
}

type LoggedAttempt = { message: Message; hop: NextHop; junk: boolean; signatures: SigningKeyRef[] | undefined };

/** What the log says of a change, beside its new state. */
export function changeFields(
  { message, hop, junk, signatures }: LoggedAttempt,
  { recipient, status }: StatusChange,
  now: number,
) {
  const outcome = status.state === 'waiting' ? undefined : status.outcome;
  return {
    queueId: message.id,
    trace: message.record.trace,
    session: message.record.origin.session,
    from: recipient.recipient.reversePath,
    to: recipient.recipient.address,
    nextHop: hop.key,
    host: outcome?.host,
    ...{ tls: outcome?.tls?.protocol, cipher: outcome?.tls?.cipher, verified: outcome?.tls?.verified },
    ...{ converted: outcome?.converted, junk: junk || undefined },
    signed: signatures?.map((k) => `${k.selector}.${k.domain}`),
    reply: outcome && formatReply(outcome.reply),
    delay: (now - message.record.arrived) / 1000,
    next: status.state === 'deferred' ? Math.round((status.nextAttempt - now) / 1000) : undefined,
  };
}
