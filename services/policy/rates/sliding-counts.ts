import { BoundedMap } from '#shared/bounded-map.ts';

/**
 * Counts of recent events, by key: in the current window of time and in the one before it. Windows are as long as the rate
 * says (`per`, ms) and numbered since 1970, so that they are the same on all nodes. What counts at a moment is the current
 * window and as much of the one before as lies within `per`: the count slides, and never drops to zero at a boundary.
 *
 * At most `most` keys are remembered; the one that was untouched for longest is forgotten first.
 */

export type Count = {
  per: number;
  window: number;
  now: number;
  before: number;
  /** ms since 1970 when the count was last set to nothing; 0: never (shared-counts.ts). */
  reset: number;
};

/** What was counted in the current window and in the one before, since the reset. */
export type Sums = { now: number; before: number; reset: number };

export class SlidingCounts extends BoundedMap<string, Count> {
  /** Count one more at `time` (ms since 1970). `reset` is that of a key that is new. */
  add(key: string, per: number, time: number, reset = 0): void {
    const sums = this.sums(key, per, time);
    const window = windowOf(per, time);
    this.set(key, { per, window, now: sums.now + 1, before: sums.before, reset: this.has(key) ? sums.reset : reset });
  }

  sums(key: string, per: number, time: number): Sums {
    const count = this.get(key);
    if (count === undefined) return { now: 0, before: 0, reset: 0 };
    const { reset } = count;
    if (count.per !== per) return { now: 0, before: 0, reset };
    const age = windowOf(per, time) - count.window;
    if (age === 0) return { now: count.now, before: count.before, reset };
    return { now: 0, before: age === 1 ? count.now : 0, reset };
  }
}

function windowOf(per: number, time: number): number {
  return Math.floor(time / per);
}

/** What counts at `time`; not a whole number where a part of the window before counts. */
export function counted({ now, before }: Omit<Sums, 'reset'>, per: number, time: number): number {
  return now + before * (1 - (time % per) / per);
}

/** The ms from `time` until one more is within `most`; 0 when it is now. `most` is at least 1. */
export function waitFor({ now, before }: Omit<Sums, 'reset'>, most: number, per: number, time: number): number {
  const passed = time % per;
  // What is left of the window before may be at most this.
  const room = most - 1 - now;
  if (room >= 0) return before <= room ? 0 : Math.max(0, per * (1 - room / before) - passed);
  // In the next window this one is the one before.
  return per - passed + per * (1 - (most - 1) / now);
}
