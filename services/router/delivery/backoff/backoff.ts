import type { Unreachable } from '../channel.ts';
import type { Pause } from '../job.ts';

/**
 * How long a destination that cannot be reached is left alone: 1 s, doubled each time up to 5 min, give or take a
 * quarter.
 */

const FIRST_MS = 1000;
const MAX_MS = 300_000;

export class Backoff {
  #delayMs = 0;
  #until = 0;
  #at = 0;
  #reason: Unreachable | undefined;

  /** Why nothing is tried right now; undefined: try. */
  get reason(): Unreachable | undefined {
    return this.#reason !== undefined && performance.now() < this.#until ? this.#reason : undefined;
  }

  get pause(): Pause | undefined {
    const { reason } = this;
    return reason && { until: this.#until, at: this.#at, reply: reason.reply, host: reason.host };
  }

  /** Whether the last failure is so long ago that the next one starts with the first delay again. */
  get forgotten(): boolean {
    return this.#reason === undefined || performance.now() > this.#until + MAX_MS;
  }

  /** Try again now. Another failure doubles the pause all the same. */
  probe(): void {
    this.#until = Math.min(this.#until, performance.now());
  }

  /** Note a failure; the pause until the next try, in ms. */
  failed(reason: Unreachable): number {
    this.#delayMs = this.forgotten ? FIRST_MS : Math.min(this.#delayMs * 2, MAX_MS);
    // Without jitter all nodes of a cluster would come back to a recovered host in the same second.
    const pauseMs = Math.round(this.#delayMs * (0.75 + Math.random() / 2));
    this.#until = performance.now() + pauseMs;
    this.#at = Date.now();
    this.#reason = reason;
    return pauseMs;
  }

  /** Note a success; whether it ended a row of failures. */
  succeeded(): boolean {
    const ended = this.#reason !== undefined;
    this.#reason = undefined;
    this.#delayMs = 0;
    return ended;
  }
}
