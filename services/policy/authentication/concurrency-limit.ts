import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * Lets a few expensive pieces of work run at once and a bounded number wait in line; the rest is refused at once.
 * A piece is: refused → (rejects `busy`); or waiting → running → settled, when the next one in line runs.
 */
export class Gate {
  readonly #width: number;
  readonly #line: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(width: number, line: number) {
    this.#width = width;
    this.#line = line;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#width) {
      if (this.#waiting.length >= this.#line) {
        throw new SealpostError(CALL_ERRORS.busy, `${this.#waiting.length} requests are waiting in line already`);
      }
      // Whoever finishes hands its place over, so #running stays as it is.
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
