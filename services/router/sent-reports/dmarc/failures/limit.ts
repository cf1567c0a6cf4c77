/**
 * How many failure reports go out (RFC 9991 §2): whoever sends forged mail in the name of a domain decides how many there
 * could be. They are to show the ways in which mail fails; how often it does is in the aggregate report. So a domain gets a
 * few an hour, enough to see each of its usual sources within a day, and a node sends as many as its queue does not feel.
 *
 * Memory: an entry for each domain that had a report in this hour, so at most `MOST_OF_NODE`.
 */

export const HOUR_MS = 3_600_000;
export const MOST_OF_DOMAIN = 10;
export const MOST_OF_NODE = 500;

export class FailureLimit {
  #began = Number.NEGATIVE_INFINITY;
  #all = 0;
  readonly #of = new Map<string, number>();

  /** Whether one more on this domain may go, which is counted then. `now`: ms of a clock that never goes back. */
  admits(domain: string, now: number): boolean {
    if (now - this.#began >= HOUR_MS) {
      this.#began = now;
      this.#all = 0;
      this.#of.clear();
    }
    const count = this.#of.get(domain) ?? 0;
    if (count >= MOST_OF_DOMAIN || this.#all >= MOST_OF_NODE) return false;
    this.#all++;
    this.#of.set(domain, count + 1);
    return true;
  }
}
