/**
 * How many connections a destination takes at a time, as it shows.
 *
 *   free      no limit but the configured one; the first state
 *   limited   after an answer that asks for less, half of the connections that were open; after a refused connection, those
 *             that are open. Each round of successes, one for each connection, adds one, until the configured number is
 *             reached: → free. So a peer is found to take more in the end, and is asked for it by one connection at a time.
 */

/** Answers that come so soon after the limit has fallen were on their way: they say nothing new, nor do successes. */
const SAME_MS = 1000;
const MORE = 2;
/** How long no further connection is tried after one was refused. */
const REFUSED_MS = 5000;

export class Concurrency {
  #limit = Number.POSITIVE_INFINITY;
  #successes = 0;
  #noFallBefore = 0;
  #noGrowthBefore = 0;
  /** Answers in a row that asked for less, and how many are too many. */
  #row = 0;
  #mostInRow = 0;

  atMost(configured: number): number {
    return Math.min(configured, this.#limit);
  }

  succeeded(configured: number): void {
    this.#row = 0;
    if (this.#limit === Number.POSITIVE_INFINITY) return;
    if (++this.#successes < this.#limit || performance.now() < this.#noGrowthBefore) return;
    this.#successes = 0;
    this.#limit++;
    if (this.#limit >= configured) this.#limit = Number.POSITIVE_INFINITY;
  }

  /**
   * The peer asked for less, or broke off, while so many connections were open. Whether all of them have heard that in a row,
   * and two more: nothing is to be had now.
   */
  pressed(open: number): boolean {
    this.#mostInRow = Math.max(this.#row === 0 ? 0 : this.#mostInRow, open + MORE);
    this.#row++;
    this.#fall(open);
    return this.#row >= this.#mostInRow;
  }

  /** What was heard so far does not count any more. */
  endRow(): void {
    this.#row = 0;
  }

  /** The peer, or what is before it, took so many connections and not another one. */
  refused(open: number): void {
    this.#noGrowthBefore = performance.now() + REFUSED_MS;
    this.#set(Math.min(open, this.#limit));
  }

  #fall(open: number): void {
    const now = performance.now();
    if (now < this.#noFallBefore) return;
    this.#noFallBefore = now + SAME_MS;
    this.#noGrowthBefore = Math.max(this.#noGrowthBefore, now + SAME_MS);
    this.#set(Math.floor(Math.min(open, this.#limit) / 2));
  }

  #set(limit: number): void {
    this.#limit = Math.max(1, limit);
    this.#successes = 0;
  }
}
