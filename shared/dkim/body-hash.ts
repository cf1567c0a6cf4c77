import { createHash } from 'node:crypto';

/**
 * Body hash of DKIM with the "relaxed" canonicalization (RFC 6376 §3.4.4), computed while the body streams by.
 *
 * Rules: white space at line ends is removed, other runs of white space become one space, empty lines at the end of the
 * body are removed, and a body that is not empty ends with exactly one CRLF. An empty body hashes as the empty string.
 *
 * What the next bytes decide is held as a count or a flag, never as bytes: line ends that may turn out to be trailing, a
 * space that may turn out to be at a line end, a CR that may lack its LF. So memory is constant and time linear for any
 * input. Spans that need no change are found by native searches and hashed without a copy.
 *
 * Lines end with CRLF. A bare CR or LF is an ordinary character; whether it may occur is decided where mail is received.
 */

const SPACE = 0x20;
const TAB = 0x09;
const CR = 0x0d;
const LF = 0x0a;

const TWO_SPACES = Buffer.from('  ');
const SPACE_CR = Buffer.from(' \r');
const ONE_SPACE = Buffer.from(' ');
const ONE_CR = Buffer.from('\r');
const LINE_ENDS = Buffer.from('\r\n'.repeat(2048));

export class RelaxedBodyHash {
  readonly #hash = createHash('sha256');
  /** Some content was hashed: the body is not empty. */
  #content = false;
  /** Line ends not hashed yet: they count only if content follows. */
  #lineEnds = 0;
  /** White space was seen on this line and nothing after it yet. */
  #space = false;
  /** The bytes so far end with a CR whose LF may come. */
  #carriageReturn = false;
  /** Position of the next character that needs a change in the current chunk; -1: not searched yet. */
  #nextTab = -1;
  #nextTwoSpaces = -1;
  #nextSpaceCr = -1;

  /** Add the next bytes of the body, split anywhere. They are not kept. */
  update(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#nextTab = this.#nextTwoSpaces = this.#nextSpaceCr = -1;
    let at = 0;
    while (at < chunk.length) {
      const byte = chunk[at];
      if (this.#carriageReturn) {
        this.#carriageReturn = false;
        if (byte === LF) {
          this.#endLine();
          at++;
          continue;
        }
        this.#emit(ONE_CR);
      }
      if (byte === SPACE || byte === TAB) {
        this.#space = true;
        at++;
      } else if (byte === CR) {
        this.#carriageReturn = true;
        at++;
      } else {
        at = this.#span(chunk, at);
      }
    }
  }

  /** Base64 SHA-256 of the whole body: the value of `bh=`. Ends the computation. */
  digest(): string {
    // A CR without its LF is content; white space at the end of the last line is removed.
    if (this.#carriageReturn) this.#emit(ONE_CR);
    if (this.#content) this.#hash.update(LINE_ENDS.subarray(0, 2));
    return this.#hash.digest('base64');
  }

  #endLine(): void {
    this.#space = false;
    this.#lineEnds++;
  }

  /** Hash content, preceded by the line ends and the space before it, which are content now. */
  #emit(content: Buffer): void {
    while (this.#lineEnds > 0) {
      const count = Math.min(this.#lineEnds, LINE_ENDS.length / 2);
      this.#hash.update(LINE_ENDS.subarray(0, count * 2));
      this.#lineEnds -= count;
    }
    if (this.#space) this.#hash.update(ONE_SPACE);
    this.#space = false;
    this.#content = true;
    this.#hash.update(content);
  }

  /** Hash from a character that is content up to the next one that needs a change; returns where to continue. */
  #span(chunk: Buffer, start: number): number {
    const stop = this.#nextChange(chunk, start);
    let end = stop;
    const last = chunk[end - 1];
    // The last character may precede a line end or the end of the body: hold it back.
    const carriageReturn = last === CR;
    const space = last === SPACE;
    if (carriageReturn || space) end--;
    let lineEnds = 0;
    while (end - 2 >= start && chunk[end - 1] === LF && chunk[end - 2] === CR) {
      end -= 2;
      lineEnds++;
    }
    this.#emit(chunk.subarray(start, end));
    this.#lineEnds += lineEnds;
    this.#space = space;
    this.#carriageReturn = carriageReturn;
    return stop;
  }

  /** The nearest tab, run of spaces, or space before a CR at or after `from`; the end of the chunk if there is none. */
  #nextChange(chunk: Buffer, from: number): number {
    if (this.#nextTab < from) this.#nextTab = orEnd(chunk, chunk.indexOf(TAB, from));
    if (this.#nextTwoSpaces < from) this.#nextTwoSpaces = orEnd(chunk, chunk.indexOf(TWO_SPACES, from));
    if (this.#nextSpaceCr < from) this.#nextSpaceCr = orEnd(chunk, chunk.indexOf(SPACE_CR, from));
    return Math.min(this.#nextTab, this.#nextTwoSpaces, this.#nextSpaceCr);
  }
}

function orEnd(chunk: Buffer, at: number): number {
  return at < 0 ? chunk.length : at;
}
