import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * Runs a few expensive pieces of work concurrently and lets a bounded number wait; the rest is refused immediately.
 * A piece of work is: refused (rejects with `busy`); or waiting → running → settled, when the one that waited longest runs.
 */
export class ConcurrencyLimit {
  readonly #mostRunning: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(mostRunning: number, mostWaiting: number) {
    this.#mostRunning = mostRunning;
    this.#mostWaiting = mostWaiting;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#mostRunning) {
      if (this.#waiting.length >= this.#mostWaiting) {
        throw new SealpostError(CALL_ERRORS.busy, `${this.#waiting.length} requests are waiting already`);
      }
      // Work that finishes hands its place over, so #running stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
