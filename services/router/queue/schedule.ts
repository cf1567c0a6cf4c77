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

/** A wait that the next hop asks for counts up to so long, and one that is shorter than ours for so many attempts. */
const ASKED_MAX_MS = 3_600_000;
const ASKED_ATTEMPTS = 3;
const ASKED_LEAST_MS = 10_000;
/** A host counts in whole seconds. */
const ASKED_MARGIN_MS = 1000;

/**
 * The delay after the n-th attempt (n from 1) that the next hop deferred: doubling up to `max`. The first one is never shorter
 * than `first`: hosts that greylist take mail after five minutes as a rule, and few of them say so.
 *
 * `askedMs`: the wait that its reply asks for (delivery/backoff/greylisting.ts). An earlier attempt would be in vain, and may
 * begin the wait again. A later one keeps the mail waiting for nothing; but a host that asks for a short wait again and again
 * is not believed for ever.
 */
export function retryDelay(attempts: number, limits: RetryLimits, random: number, askedMs?: number): number {
  const doublings = Math.min(Math.max(attempts, 1) - 1, DOUBLINGS);
  const upwards = 0.5 + random / 2;
  const delay = jitter(Math.min(limits.first * 2 ** doublings, limits.max), doublings === 0 ? upwards : random);
  if (askedMs === undefined) return delay;
  const asked = jitter(Math.min(askedMs, ASKED_MAX_MS), upwards) + ASKED_MARGIN_MS;
  if (asked > delay) return Math.min(asked, longestDelay(limits));
  return attempts > ASKED_ATTEMPTS ? delay : Math.max(asked, Math.min(delay, ASKED_LEAST_MS));
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
