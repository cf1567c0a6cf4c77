import { formatReply } from '#shared/mail/reply.ts';
import { formatDuration, formatTime } from '#shared/units.ts';
import type { QueuedMail } from './facts.ts';

/** When a recipient is tried again, in words. Pure. */

type Recipient = QueuedMail['entry']['recipients'][number];
type Deferred = Extract<Recipient['status'], { state: 'deferred' }>;

export function nextText({ backoff }: Recipient, { nextAttempt, outcome }: Deferred, now: number): string {
  if (backoff !== undefined && nextAttempt <= backoff.until) return backoffText(backoff, outcome.at, now);
  return nextAttempt <= now ? 'the next attempt is due' : `the next attempt is ${timeText(nextAttempt, now)}`;
}

/** It waits for its next hop; other mail may have found out since `tried` that it still cannot be reached. */
function backoffText({ at, until, reply }: NonNullable<Recipient['backoff']>, tried: number, now: number): string {
  const since = at <= tried ? '' : ` was tried last at ${formatTime(at)}, which gave "${formatReply(reply)}", and`;
  return `its next hop${since} is tried again ${timeText(until, now)}`;
}

function timeText(time: number, now: number): string {
  return `in ${formatDuration(Math.max(0, time - now))}, at ${formatTime(time)}`;
}
