/**
 * A value that must never reach a log, an error text, a bus message or a terminal.
 *
 * The text lives in a private field, so `JSON.stringify`, `util.inspect`, template strings and pino all show
 * `[secret]`. The one way to it is `reveal()`, which makes every use easy to find.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}
