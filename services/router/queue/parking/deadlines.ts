import type { Config } from '#cluster/config/schema/schema.ts';
import { timeOfQueueId } from '#shared/ids.ts';
import type { JobRecipient } from '../../delivery/job.ts';
import { wants } from '../../notices/notices.ts';
import { isFinal, type Message } from '../../store/message.ts';

/**
 * When a message must be looked at although its next hop cannot be reached: when its sender is told that it is late, and when
 * it expires. Pure: times are ms since 1970, Infinity is never.
 */

type Times = Pick<Config['queue'], 'expire' | 'delay-notice'>;

/**
 * The next such time of a message of which no more is known than its queue id, which is as old as the message: now, where it
 * may have expired.
 */
export function deadlineOfId(id: string, now: number, { expire, 'delay-notice': delayNotice }: Times): number {
  const arrived = timeOfQueueId(id);
  if (now >= arrived + expire) return now;
  return firstAfter(now, [delayNotice > 0 ? arrived + delayNotice : now, arrived + expire]);
}

/** The next such time of a message. */
export function deadlineOf({ record, recipients }: Message, now: number, times: Times): number {
  const { arrived, delayNoticed } = record;
  const delayNotice = times['delay-notice'] > 0 && !delayNoticed ? [arrived + times['delay-notice']] : [];
  const ends = recipients.flatMap(({ status, recipient }) =>
    isFinal(status) ? [] : [arrived + (recipient.journal?.expire ?? times.expire)],
  );
  return firstAfter(now, [...delayNotice, ...ends]);
}

/** Whether something has to be written of these recipients now, although they cannot be tried. */
export function mustSettle(
  { record, recipients }: Message,
  tried: readonly JobRecipient[],
  now: number,
  times: Times,
): boolean {
  const age = now - record.arrived;
  const isLate = times['delay-notice'] > 0 && age >= times['delay-notice'];
  const mayBeTold = isLate && !record.delayNoticed && record.reversePath !== '';
  return tried.some(({ index }) => {
    const one = recipients[index];
    // Nothing is on disk yet of what it waits for.
    if (one === undefined || one.status.state === 'waiting') return true;
    return (mayBeTold && wants(one.recipient, 'delayed')) || age >= (one.recipient.journal?.expire ?? times.expire);
  });
}

function firstAfter(now: number, times: readonly number[]): number {
  return Math.min(...times.filter((time) => time > now), Number.POSITIVE_INFINITY);
}
