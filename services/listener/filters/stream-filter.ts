import type { Writable } from 'node:stream';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Filter, FilterVerdict } from './filter.ts';

/**
 * A filter that sees the message over one connection and answers once: what all such have in common, whatever they speak.
 *
 * States: open → (`answer`, `fail`, the end of the connection, `abort`) over. It may be over before it has seen the whole
 * message; the first thing that ends it counts, and closes the connection.
 */

const LONGEST_ERROR = 200;

/** How it is said on the connection. */
type Words = { show(piece: Buffer): void; end(): void };

export class StreamFilter implements Filter {
  onReady: (() => void) | undefined;
  readonly #stream: Writable;
  readonly #words: Words;
  readonly #verdict = Promise.withResolvers<FilterVerdict>();
  #over = false;

  constructor(stream: Writable, words: Words) {
    this.#stream = stream;
    this.#words = words;
    // Trouble may come long before anybody waits for the verdict.
    this.#verdict.promise.catch(() => undefined);
    stream.on('drain', () => this.#notify());
    stream.on('error', (error) => this.fail(errorText(error)));
    stream.on('close', () => this.fail('it closed the connection without an answer'));
  }

  get ready(): boolean {
    return this.#over || !this.#stream.writableNeedDrain;
  }

  write(piece: Buffer): void {
    if (!this.#over && piece.length > 0) this.#words.show(piece);
  }

  finish(): Promise<FilterVerdict> {
    if (!this.#over) this.#words.end();
    return this.#verdict.promise;
  }

  abort(): void {
    this.fail('it was not asked to the end');
  }

  /** It answered; `read` makes the verdict of it, or throws `filter-failed`. */
  answer(read: () => FilterVerdict): void {
    if (this.#over) return;
    try {
      this.#verdict.resolve(read());
    } catch (error) {
      this.#verdict.reject(error);
    }
    this.#end();
  }

  fail(why: string): void {
    if (this.#over) return;
    this.#verdict.reject(new SealpostError('filter-failed', why.slice(0, LONGEST_ERROR)));
    this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#stream.destroy();
    this.#notify();
  }

  #notify(): void {
    const resume = this.onReady;
    this.onReady = undefined;
    resume?.();
  }
}
