import { isSuspended } from '../directives/suspended.ts';
import { dueAt, type Message } from '../store/message.ts';
import type { Slot } from '../store/slots.ts';
import { isPaced } from './congestion.ts';
import { longestDelay, type RetryLimits } from './schedule.ts';

/** How long a message waits until the queue looks at it again: what the wall clock gives, as a span. */

/** A message parked before a congested next hop, or blocked, is looked at this late even if nothing wakes it. */
export const PARKED_MS = 600_000;
/** The same for one that waits for its turn at a rate, or is suspended: where many wait, they would be read again and again. */
const PACED_MS = 6 * 3_600_000;

/**
 * ms until a recipient of the message is due; negative when one has been due for some time, Infinity when none waits.
 * `parkedMs`: for how long one waits whose next hop backs off, if nothing else wakes it.
 */
export function waitOf(slot: Slot, message: Message, retry: RetryLimits, parkedMs: () => number): number {
  const now = Date.now();
  const parked =
    slot.parked === undefined ? undefined : isPaced(slot.parked) || isSuspended(slot.parked) ? PACED_MS : PARKED_MS;
  let wait = Number.POSITIVE_INFINITY;
  for (const r of message.recipients) {
    if (r.busy) continue;
    if (r.parked === true) {
      wait = Math.min(wait, parkedMs());
      continue;
    }
    const left = plausibleWait(slot, dueAt(r.status) - now, retry);
    wait = Math.min(wait, left > 0 ? left : (parked ?? left));
  }
  return wait;
}

/** A time of the wall clock as one of the monotonic clock. */
export function monotonic(time: number): number {
  return performance.now() + time - Date.now();
}

/**
 * A wait of at most the longest delay that the queue decides on. A longer one is the doing of a wall clock that stepped
 * back: it is cut, and all recipients of the message are tried then.
 */
export function plausibleWait(slot: Slot, ms: number, retry: RetryLimits): number {
  const longest = longestDelay(retry);
  if (ms <= longest || ms === Number.POSITIVE_INFINITY) return ms;
  slot.forced = true;
  return longest;
}
