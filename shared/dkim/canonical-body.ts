/**
 * The two canonical forms of a body (RFC 6376 §3.4.3, §3.4.4), made while the body streams by, in pieces that are given on
 * and not kept.
 *
 * Both: empty lines at the end of the body are removed, and a body that is not empty ends with exactly one CRLF. `simple`
 * changes nothing else, and gives an empty body one CRLF. `relaxed` removes white space at line ends, makes other runs of
 * white space one space, and leaves an empty body empty.
 *
 * What the next bytes decide is held as a count or a flag, never as bytes: line ends that may turn out to be trailing, a
 * space that may turn out to be at a line end, a CR that may lack its LF. So memory is constant and time linear for any
 * input. Spans that need no change are found by native searches and given on without a copy.
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
const ONE_LINE_END = LINE_ENDS.subarray(0, 2);

/** Takes the next bytes of the canonical body, which may be changed after it returned. */
export type TakePiece = (piece: Buffer) => void;

export interface CanonicalBody {
  /** Add the next bytes of the body, split anywhere. They are not kept. */
  update(bytes: Uint8Array): void;
  /** The body is complete. */
  end(): void;
}

export class SimpleBody implements CanonicalBody {
  readonly #take: TakePiece;
  /** Line ends not given on yet: they count only if content follows. */
  #lineEnds = 0;
  /** The bytes so far end with a CR whose LF may come. */
  #carriageReturn = false;

  constructor(take: TakePiece) {
    this.#take = take;
  }

  update(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (chunk.length === 0) return;
    let start = 0;
    if (this.#carriageReturn) {
      this.#carriageReturn = false;
      if (chunk[0] === LF) {
        this.#lineEnds++;
        start = 1;
      } else {
        this.#emit(ONE_CR);
      }
    }
    let end = chunk.length;
    if (end > start && chunk[end - 1] === CR) {
      this.#carriageReturn = true;
      end--;
    }
    const content = withoutLineEnds(chunk, start, end);
    if (content > start) this.#emit(chunk.subarray(start, content));
    this.#lineEnds += (end - content) / 2;
  }

  end(): void {
    // A CR without its LF is content.
    if (this.#carriageReturn) this.#emit(ONE_CR);
    this.#take(ONE_LINE_END);
  }

  /** Give on content, preceded by the line ends before it, which are content now. */
  #emit(content: Buffer): void {
    giveLineEnds(this.#lineEnds, this.#take);
    this.#lineEnds = 0;
    this.#take(content);
  }
}

export class RelaxedBody implements CanonicalBody {
  readonly #take: TakePiece;
  /** Some content was given on: the body is not empty. */
  #content = false;
  /** Line ends not given on yet: they count only if content follows. */
  #lineEnds = 0;
  /** White space was seen on this line and nothing after it yet. */
  #space = false;
  /** The bytes so far end with a CR whose LF may come. */
  #carriageReturn = false;
  /** Position of the next character that needs a change in the current chunk; -1: not searched yet. */
  #nextTab = -1;
  #nextTwoSpaces = -1;
  #nextSpaceCr = -1;

  constructor(take: TakePiece) {
    this.#take = take;
  }

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

  end(): void {
    // A CR without its LF is content; white space at the end of the last line is removed.
    if (this.#carriageReturn) this.#emit(ONE_CR);
    if (this.#content) this.#take(ONE_LINE_END);
  }

  #endLine(): void {
    this.#space = false;
    this.#lineEnds++;
  }

  /** Give on content, preceded by the line ends and the space before it, which are content now. */
  #emit(content: Buffer): void {
    giveLineEnds(this.#lineEnds, this.#take);
    this.#lineEnds = 0;
    if (this.#space) this.#take(ONE_SPACE);
    this.#space = false;
    this.#content = true;
    this.#take(content);
  }

  /** Give on from a character that is content up to the next one that needs a change; returns where to continue. */
  #span(chunk: Buffer, start: number): number {
    const stop = this.#nextChange(chunk, start);
    let end = stop;
    const last = chunk[end - 1];
    // The last character may precede a line end or the end of the body: hold it back.
    const carriageReturn = last === CR;
    const space = last === SPACE;
    if (carriageReturn || space) end--;
    const content = withoutLineEnds(chunk, start, end);
    this.#emit(chunk.subarray(start, content));
    this.#lineEnds += (end - content) / 2;
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

/** Where the line ends begin with which chunk[start…end] ends; `end` where there are none. */
function withoutLineEnds(chunk: Buffer, start: number, end: number): number {
  let content = end;
  while (content - 2 >= start && chunk[content - 1] === LF && chunk[content - 2] === CR) content -= 2;
  return content;
}

function giveLineEnds(count: number, take: TakePiece): void {
  for (let left = count; left > 0; left -= LINE_ENDS.length / 2) {
    take(LINE_ENDS.subarray(0, Math.min(left * 2, LINE_ENDS.length)));
  }
}
