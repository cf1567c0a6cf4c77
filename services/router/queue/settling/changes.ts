import type { Config } from '#cluster/config/schema/schema.ts';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { askedWait } from '../../delivery/backoff/greylisting.ts';
import type { JobRecipient, NextHop, RecipientResult } from '../../delivery/job.ts';
import { isDeadLetter, isFailure, type StatusChange } from '../../notices/notices.ts';
import { keepAttempt, keptHosts } from '../../receipts/attempts.ts';
import { isFinal, type Message, type Recipient } from '../../store/message.ts';
import type { SigningKeyRef } from '../../store/records.ts';
import type { Slot } from '../../store/slots.ts';
import { localDelay, nextAttempt, retryDelay } from '../schedule.ts';
import { isRepeat, withheld, withoutResult } from './results.ts';

export type AttemptOutcome = {
  slot: Slot;
  message: Message;
  hop: NextHop;
  junk: boolean;
  /** With the addresses that were tried (grouping.ts). */
  recipients: readonly JobRecipient[];
  signatures: SigningKeyRef[] | undefined;
  results: readonly RecipientResult[];
  /**
   * The attempt did not take place because the mail is held or the router stops: then no trouble of this node is noted.
   */
  stopped: boolean;
  /** Another node may deliver the mail, or it is suspended: what is deferred does not expire, and is not told of. */
  kept: boolean;
};

/**
 * What an attempt changes: the next status of each of its recipients. What the recipients remember of the attempt is noted
 * in memory; the statuses are for whoever writes them. An attempt that failed for trouble of this node alone counts in
 * `slot.localTries`, and no attempt of a recipient.
 */
export function statusChanges(attempt: AttemptOutcome, now: number, config: Config): StatusChange[] {
  const results = new Map(attempt.results.map((r) => [r.index, r]));
  const { slot } = attempt;
  const random = Math.random();
  if (attempt.results.some((r) => r.local !== true)) slot.localTries = 0;
  else slot.localTries++;
  const changes: StatusChange[] = [];
  for (const { index, recipient: tried } of attempt.recipients) {
    const recipient = attempt.message.recipients[index];
    if (recipient === undefined) continue;
    const result = withheld(results.get(index) ?? withoutResult(index, now), attempt.message);
    if (result.state === 'deferred' && result.local === true && attempt.stopped) continue;
    // An operator removed it during the attempt, and the message is still there for others.
    if (isFinal(recipient.status) && result.state !== 'delivered') continue;
    let status = statusAfter(attempt, recipient, result, { now, random, config });
    if (status.state === 'failed' && tried.address !== recipient.recipient.address) {
      // The sender of junk is seldom who it says, and must not hear of a mailbox that it did not write to.
      recipient.junkToRefused = true;
      status = { state: 'deferred', attempts: 0, nextAttempt: now, outcome: status.outcome };
    }
    recipient.dead = isDeadLetter(attempt.message.record, recipient.recipient, status, config) || undefined;
    if (recipient.dead && isFailure(status)) {
      // It is held as soon as no other recipient is left, and until then tried as seldom as possible (waits.ts).
      const { max } = config.queue.retry;
      status = { state: 'deferred', attempts: 0, nextAttempt: now + max, outcome: result.outcome };
    }
    const silent = isRepeat(recipient.status, status, result);
    if (!silent) {
      keepAttempt(attempt.message, recipient);
      recipient.others = keptHosts(result.others, attempt.message.recipients.length);
    }
    recipient.nextHop = attempt.hop.key;
    recipient.redirected = attempt.hop.redirected;
    recipient.signatures = attempt.signatures;
    const local = result.local === true && status.state === 'deferred';
    changes.push({ recipient, status, notice: result.notice, silent, local });
  }
  return changes;
}

function statusAfter(
  { slot, message, kept }: AttemptOutcome,
  { status: before, recipient: { journal } }: Recipient,
  result: RecipientResult,
  { now, random, config: { queue } }: { now: number; random: number; config: Config },
): RecipientStatus {
  const { outcome } = result;
  if (result.state !== 'deferred') return { state: result.state, outcome };
  const earlier = before.state === 'deferred' && result.progress !== true ? before.attempts : 0;
  const attempts = earlier + (result.local === true ? 0 : 1);
  const delay =
    result.local === true
      ? localDelay(slot.localTries, random)
      : retryDelay(attempts, queue.retry, random, askedWait(outcome.reply));
  const expire = kept ? Number.POSITIVE_INFINITY : (journal?.expire ?? queue.expire);
  const next = nextAttempt(now, delay, message.record.arrived, expire);
  return next === 'expired'
    ? { state: 'expired', outcome }
    : { state: 'deferred', attempts, nextAttempt: next, outcome };
}
