import { EmptyLineFinder } from '#shared/mail/empty-line-finder.ts';
import { MOST_DATA } from './protocol.ts';

/**
 * A message between the one who writes it, piece by piece, and the one who reads its header whole and its body in chunks.
 *
 * States: `header` → (the empty line) `body` → (`end`) `ended`; from each `dropped`: what comes is thrown away, and nothing
 * waits. While more than two chunks of the body wait, `ready` is false, and `onReady` is called when that is over. The
 * header is held whole; whoever writes sees to its limit.
 */

const MOST_WAITING = 2 * MOST_DATA;

export class MessageFeed {
  /** Called once when `ready` has become true again. */
  onReady: (() => void) | undefined;
  readonly #emptyLine = new EmptyLineFinder();
  readonly #header: Buffer[] = [];
  readonly #headerDone = Promise.withResolvers<Buffer>();
  #state: 'header' | 'body' | 'ended' | 'dropped' = 'header';
  #waiting: Buffer[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;

  get ready(): boolean {
    return this.#bytes < MOST_WAITING;
  }

  /** Resolves to the header with its empty line, where it has one. */
  get header(): Promise<Buffer> {
    return this.#headerDone.promise;
  }

  /** Take the next bytes; views of them are kept. */
  write(piece: Buffer): void {
    if (this.#state === 'body') this.#body(piece);
    if (this.#state !== 'header') return;
    const end = this.#emptyLine.find(piece);
    this.#header.push(end < 0 ? piece : piece.subarray(0, end));
    if (end < 0) return;
    this.#headerEnded();
    this.#state = 'body';
    this.#body(piece.subarray(end));
  }

  end(): void {
    if (this.#state === 'header') this.#headerEnded();
    if (this.#state !== 'dropped') this.#state = 'ended';
    this.#wake?.();
  }

  /** Nobody reads on. */
  drop(): void {
    if (this.#state === 'header') this.#headerEnded();
    this.#state = 'dropped';
    this.#waiting = [];
    this.#bytes = 0;
    this.#wake?.();
    this.#becameReady();
  }

  /** The next bytes of the body, at most a packet; undefined at its end. */
  async chunk(): Promise<Buffer | undefined> {
    while (this.#bytes < MOST_DATA && this.#state !== 'ended' && this.#state !== 'dropped') {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#bytes === 0) return undefined;
    const all = Buffer.concat(this.#waiting);
    const chunk = all.subarray(0, MOST_DATA);
    const rest = all.subarray(chunk.length);
    this.#waiting = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    this.#becameReady();
    return chunk;
  }

  #body(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#waiting.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes >= MOST_DATA) this.#wake?.();
  }

  #headerEnded(): void {
    this.#headerDone.resolve(Buffer.concat(this.#header));
    this.#header.length = 0;
  }

  #becameReady(): void {
    if (!this.ready) return;
    const resume = this.onReady;
    this.onReady = undefined;
    resume?.();
  }
}
