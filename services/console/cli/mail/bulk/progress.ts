import { stderr } from 'node:process';

/** A line on a terminal that says how far a command is; nothing where nobody looks. */
export class Progress {
  readonly #shown: boolean;
  #last = 0;

  constructor(shown: boolean) {
    this.#shown = shown && stderr.isTTY;
  }

  /** At most ten times a second. */
  show(text: string): void {
    const now = performance.now();
    if (!this.#shown || now - this.#last < 100) return;
    this.#last = now;
    stderr.write(`\r\x1b[K${text}`);
  }

  end(): void {
    if (this.#shown && this.#last > 0) stderr.write('\r\x1b[K');
    this.#last = 0;
  }
}
