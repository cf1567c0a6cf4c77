import type { RecipientStatus } from '#shared/mail/envelope.ts';
import type { NextHopBackoff } from '#shared/mail/queue-entry.ts';
import type { NextHop, Pause } from '../delivery/job.ts';
import type { Routing } from '../queue/routing.ts';
import { isFinal, type Message, type Recipient } from '../store/message.ts';
import { hopOf } from './selection.ts';

/** How the time of the next attempt looks to operators: mail that waits for its next hop has an older one on disk. */

/** What it needs of the queue. */
export type Pauses = { pauseOf: (hop: NextHop) => Pause | undefined };

export function backoffOf(
  { routing, pauseOf }: Pauses & { routing: Routing },
  message: Message,
  recipient: Recipient,
): NextHopBackoff | undefined {
  if (isFinal(recipient.status)) return undefined;
  const hop = hopOf(routing, message, recipient);
  const pause = hop && pauseOf(hop);
  if (pause === undefined) return undefined;
  const until = Math.round(Date.now() + pause.until - performance.now());
  return { until, at: pause.at, reply: pause.reply, ...(pause.host !== undefined && { host: pause.host }) };
}

/** The status of a recipient, with the time at which it can be tried. */
export function shownStatus(status: RecipientStatus, backoff: NextHopBackoff | undefined): RecipientStatus {
  if (status.state !== 'deferred' || backoff === undefined || status.nextAttempt >= backoff.until) return status;
  return { ...status, nextAttempt: backoff.until };
}
