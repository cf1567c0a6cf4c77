/** When a webhook is tried again. Pure; times in ms. */

const FIRST_MS = 5000;
const LONGEST_MS = 3_600_000;
const JITTER = 0.25;

/** Events are given up after so long; no receiver puts them off for longer. */
export const KEPT_MS = 86_400_000;

/** The wait after so many failures in a row: 5 s, twice that each time, at most an hour, give or take a quarter. */
export function waitAfter(failures: number, chance: number, firstMs: number = FIRST_MS): number {
  const wait = Math.min(LONGEST_MS, firstMs * 2 ** Math.min(Math.max(failures, 1) - 1, 20));
  return Math.round(wait * (1 - JITTER + 2 * JITTER * chance));
}

/** What `Retry-After` asks for, seconds or a date (RFC 9110 §10.2.3); 0 where it says nothing. `now`: ms since 1970. */
export function askedWait(retryAfter: string | undefined, now: number): number {
  const text = retryAfter?.trim() ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(wait) ? 0 : Math.min(KEPT_MS, Math.max(0, wait));
}
