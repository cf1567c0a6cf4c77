/**
 * Reads the text of one message after DATA: finds its end, takes the transparency dots away (RFC 5321 §4.5.2), and
 * notices what must not be there.
 *
 * Only CRLF "." CRLF ends a message, or "." CRLF as its very first line. Other servers see ends elsewhere (LF "." LF,
 * CR "." CR …), and a message that reads as one to this server and as two to the next is how mail is smuggled. So a CR
 * without LF, an LF without CR and a NUL (RFC 5321 §2.3.8, RFC 5322 §2.2) anywhere make the message defective: it is read
 * on to its true end, then refused as a whole, and the session ends: nothing that was pipelined behind it is run.
 *
 * Where the bytes are cut makes no difference. Between chunks the decoder is in one of these states:
 *
 * - `start`: before the first byte of a line
 * - `middle`: inside a line, the last byte was not a CR
 * - `cr`: inside a line after a CR: LF goes to `start`, anything else makes the message defective
 * - `dot`: after a dot that began a line: CR goes to `dot-cr`; anything else shows that the dot was a transparency dot
 * - `dot-cr`: after dot and CR: LF is the end; anything else shows a CR in the text
 */

export type Defect = 'bare-cr' | 'bare-lf' | 'nul';

type State = 'start' | 'middle' | 'cr' | 'dot' | 'dot-cr' | 'ended';

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const ONE_CR = Buffer.from('\r');

export class DataDecoder {
  #state: State = 'start';
  #defect: Defect | undefined;
  readonly #emit: (piece: Buffer) => void;

  /** `emit` gets the text in order, as views of the chunks that were written. */
  constructor(emit: (piece: Buffer) => void) {
    this.#emit = emit;
  }

  /** The first thing that must not be in a message, if there was one. */
  get defect(): Defect | undefined {
    return this.#defect;
  }

  get ended(): boolean {
    return this.#state === 'ended';
  }

  /** Decode from `start`; returns where the message ended, which is the chunk's length while it goes on. */
  write(chunk: Buffer, start: number): number {
    const stop = this.#decode(chunk, start);
    const nul = chunk.indexOf(0, start);
    if (nul >= 0 && nul < stop) this.#defect ??= 'nul';
    return stop;
  }

  /**
   * It is long because it is one loop over every byte of every message: with a function for each state, the positions
   * would have to be passed back and forth.
   */
  #decode(chunk: Buffer, start: number): number {
    const { length } = chunk;
    // [from, at) is text that was looked at and not emitted yet.
    let from = start;
    let at = start;
    let nextCr = -1;
    while (at < length) {
      switch (this.#state) {
        case 'start':
          if (chunk[at] === DOT) {
            this.#pass(chunk, from, at);
            from = ++at;
            this.#state = 'dot';
            break;
          }
          this.#state = 'middle';
          break;
        case 'dot':
          this.#state = chunk[at] === CR ? 'dot-cr' : 'middle';
          // The CR is held back: it is text only if no LF follows.
          if (this.#state === 'dot-cr') from = ++at;
          break;
        case 'dot-cr':
          if (chunk[at] === LF) {
            this.#state = 'ended';
            return at + 1;
          }
          this.#defect ??= 'bare-cr';
          this.#emit(ONE_CR);
          this.#state = 'middle';
          break;
        case 'cr':
          if (chunk[at] === LF) {
            at++;
            this.#state = 'start';
            break;
          }
          this.#defect ??= 'bare-cr';
          this.#state = 'middle';
          break;
        case 'middle': {
          const lf = chunk.indexOf(LF, at);
          const end = lf < 0 ? length : lf;
          if (nextCr < at) nextCr = orEnd(chunk, chunk.indexOf(CR, at));
          // The only CR that may stand here is the last byte before the LF, or before what comes next.
          if (nextCr < end - 1) this.#defect ??= 'bare-cr';
          const closed = end > at && chunk[end - 1] === CR;
          if (lf < 0) {
            this.#state = closed ? 'cr' : 'middle';
            at = length;
          } else {
            if (!closed) this.#defect ??= 'bare-lf';
            this.#state = closed ? 'start' : 'middle';
            at = lf + 1;
          }
          break;
        }
        case 'ended':
          return at;
      }
    }
    this.#pass(chunk, from, at);
    return at;
  }

  #pass(chunk: Buffer, from: number, to: number): void {
    if (to > from) this.#emit(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
  }
}

function orEnd(chunk: Buffer, at: number): number {
  return at < 0 ? chunk.length : at;
}
