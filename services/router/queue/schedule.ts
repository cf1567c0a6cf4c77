/** When mail is tried again. Pure: times are ms since 1970, delays are ms, `random` is in [0, 1). */

export type RetryLimits = { first: number; max: number };

const LOCAL_FIRST_MS = 1000;
const LOCAL_MAX_MS = 30_000;
const DOUBLINGS = 40;

/** Plus or minus a tenth, so that mail deferred together does not come back together. */
function jitter(delayMs: number, random: number): number {
  return Math.round(delayMs * (0.9 + 0.2 * random));
}

/** No delay between two attempts is longer. */
export function longestDelay({ max }: RetryLimits): number {
  return jitter(max, 1);
}

/** The delay after the n-th attempt (n from 1) that the next hop deferred: doubling up to `max`. */
export function retryDelay(attempts: number, limits: RetryLimits, random: number): number {
  const doublings = Math.min(Math.max(attempts, 1) - 1, DOUBLINGS);
  return jitter(Math.min(limits.first * 2 ** doublings, limits.max), random);
}

/** The delay after the n-th try in a row (n from 1) that failed because of this node: soon, and never long. */
export function localDelay(tries: number, random: number): number {
  return jitter(Math.min(LOCAL_FIRST_MS * 2 ** Math.min(Math.max(tries, 1) - 1, DOUBLINGS), LOCAL_MAX_MS), random);
}

/**
 * The time of the next attempt, or `expired` when the message is older than `expireMs`. The last attempt comes at the
 * end of its life, not up to `max` later.
 */
export function nextAttempt(now: number, delayMs: number, arrived: number, expireMs: number): number | 'expired' {
  const end = arrived + expireMs;
  return now >= end ? 'expired' : Math.min(now + delayMs, end);
}
