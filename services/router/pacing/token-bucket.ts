/**
 * A token bucket: one token is one message. Times are ms of any clock that never jumps back. A new one is full.
 *
 *   resting   nothing waits: it holds one token at most, so that a single message goes immediately, and a burst begins
 *             at the rate.
 *   busy      messages wait: it holds what came in within `CATCH_UP_MS`, so that a busy processor costs no throughput.
 */

const CATCH_UP_MS = 200;
/** Sums of fractions may end a little below 1. */
const ALMOST_ONE = 1 - 1e-6;

export class TokenBucket {
  #tokens = 1;
  #rate = 0;
  #busy = false;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  /** Tokens a second from now on; 0: none. */
  setRate(rate: number, now: number): void {
    this.#refill(now);
    this.#rate = rate;
  }

  setBusy(busy: boolean, now: number): void {
    this.#refill(now);
    this.#busy = busy;
    this.#tokens = Math.min(this.#tokens, this.#most);
  }

  /** Take a token: 0 when there was one, else the ms until there is one (Infinity where none comes in). */
  take(now: number): number {
    this.#refill(now);
    if (this.#tokens >= ALMOST_ONE) {
      this.#tokens = Math.max(0, this.#tokens - 1);
      return 0;
    }
    return this.#rate === 0 ? Number.POSITIVE_INFINITY : ((1 - this.#tokens) * 1000) / this.#rate;
  }

  /** Put a token back that was not used. */
  giveBack(): void {
    this.#tokens = Math.min(this.#tokens + 1, this.#most);
  }

  /** Whether it is as good as new. */
  isFull(now: number): boolean {
    this.#refill(now);
    return this.#tokens >= ALMOST_ONE;
  }

  get #most(): number {
    return this.#busy ? Math.max(1, (this.#rate * CATCH_UP_MS) / 1000) : 1;
  }

  #refill(now: number): void {
    const came = (Math.max(0, now - this.#at) * this.#rate) / 1000;
    // A share that shrinks takes no existing token away.
    this.#tokens = Math.max(this.#tokens, Math.min(this.#most, this.#tokens + came));
    this.#at = now;
  }
}
