import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { reply } from '#shared/mail/reply.ts';
import type { RecipientResult } from '../delivery/job.ts';
import type { StatusChange } from '../notices/notices.ts';
import { isFinal, type Message } from '../store/message.ts';

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

export type HoldReason = 'tls' | 'dead-letter';

/** In words, for the log. */
export const HELD: Readonly<Record<HoldReason, string>> = {
  tls: 'held for an operator: no host can do what the message asks of TLS',
  'dead-letter':
    'held for an operator: delivery failed, and the mail has the null reverse-path, so it cannot be returned (dsn.null-reverse-path)',
};

/**
 * Why an operator has to decide, once these changes are made: nothing else is left of the message than recipients that
 * cannot be reached in the TLS that it asks for, or that are dead. Undefined: there is no reason.
 */
export function reasonToHold(
  { record, recipients }: Message,
  changes: readonly StatusChange[],
): HoldReason | undefined {
  const awaitsTls = record.tls?.otherwise === 'hold';
  if (!awaitsTls && record.reversePath !== '') return undefined;
  const after = new Map(changes.map(({ recipient, status }) => [recipient, status]));
  const left = recipients.flatMap((recipient) => {
    const status = after.get(recipient) ?? recipient.status;
    return isFinal(status) ? [] : [{ dead: recipient.dead === true, status }];
  });
  if (left.length === 0 || !left.every(({ dead, status }) => dead || (awaitsTls && isInsecure(status))))
    return undefined;
  return left.some(({ dead }) => dead) ? 'dead-letter' : 'tls';
}

/** Deferred although the reply is a permanent one: ours (delivery/smtp/transport.ts). */
function isInsecure(status: RecipientStatus): boolean {
  if (status.state !== 'deferred') return false;
  const { code, enhanced } = status.outcome.reply;
  return code === 550 && (enhanced === '5.7.10' || enhanced === '5.7.30');
}
