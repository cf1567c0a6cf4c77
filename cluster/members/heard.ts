/**
 * What each of many senders announced last, and when. A sender that was heard within `liveMs` is live; one that has been
 * silent for longer than `keepMs` is forgotten; when the table is full, the one silent for longest makes room.
 *
 * An announcement proves that its sender was alive a moment ago. Silence proves nothing: the sender may be dead, slow or
 * cut off, or its announcements were lost. So a decision that must not be made twice needs a claim of its own (a
 * compare-and-set). What may nevertheless follow from silence stands at the head of each user of this table.
 */

export type HeardOptions = {
  /** Silence up to which a sender counts as live, in milliseconds. */
  liveMs: number;
  /** Silence up to which a sender is known at all, in milliseconds; without it, until it must make room. */
  keepMs?: number;
  /** Senders that are known at most; unless given, far more than a cluster has. */
  most?: number;
  /** Milliseconds of a clock that never jumps. */
  clock?: () => number;
};

/** `said`: what the sender `key` announced last, `silence` ms ago. */
export type Entry<T> = { key: string; said: T; silence: number; live: boolean };

const DEFAULTS = { keepMs: Number.POSITIVE_INFINITY, most: 500, clock: () => performance.now() };
/** An offset that changes by more than this is a clock that was set, not a message that was slow. */
const CLOCK_SET_MS = 1000;

export class Heard<T> {
  readonly #options: Required<HeardOptions>;
  /** In the order of their first announcements; `until` is when a sender is forgotten. */
  readonly #known = new Map<string, { said: T; at: number; until: number }>();

  constructor(options: HeardOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Keep what a sender announced. Returns whether it is news that it is live: it was unknown, or silent for too long. */
  hear(key: string, said: T): boolean {
    const { keepMs, most, clock } = this.#options;
    const wasLive = this.get(key)?.live === true;
    const at = clock();
    this.#known.set(key, { said, at, until: at + keepMs });
    if (this.#known.size > most) this.#makeRoom(most);
    return !wasLive;
  }

  /** A sender that is known, live or not. */
  get(key: string): Entry<T> | undefined {
    const one = this.#known.get(key);
    const now = this.#options.clock();
    return one === undefined || now > one.until ? undefined : this.#entry(key, one, now);
  }

  /** All that are known, in the order of their first announcements. */
  all(): Entry<T>[] {
    const now = this.#options.clock();
    for (const [key, { until }] of this.#known) if (now > until) this.#known.delete(key);
    return [...this.#known].map(([key, one]) => this.#entry(key, one, now));
  }

  live(): Entry<T>[] {
    return this.all().filter(({ live }) => live);
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  /** For so many milliseconds nobody could be heard: no sender is forgotten for that silence. */
  excuse(ms: number): void {
    for (const one of this.#known.values()) one.until += ms;
  }

  #entry(key: string, { said, at }: { said: T; at: number }, now: number): Entry<T> {
    const silence = now - at;
    return { key, said, silence, live: silence <= this.#options.liveMs };
  }

  #makeRoom(most: number): void {
    const bySilence = this.all().sort((a, b) => b.silence - a.silence);
    for (const { key } of bySilence.slice(0, -most)) this.#known.delete(key);
  }
}

/**
 * How far another node's clock is ahead of this node's, in ms, by a message that says when it was sent; `before` is the
 * result of the message before it. The time that a message took is in it, so the fastest message says most.
 */
export function clockOffset(sent: number, before: number | undefined): number {
  const offset = sent - Date.now();
  return before === undefined || Math.abs(offset - before) > CLOCK_SET_MS ? offset : Math.max(offset, before);
}
