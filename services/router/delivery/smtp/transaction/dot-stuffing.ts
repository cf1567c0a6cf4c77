import { SealpostError } from '#shared/errors.ts';

/**
 * The bytes of a message between 354 and the final dot (RFC 5321 §4.5.2): a dot that begins a line is doubled, and the
 * text ends in CRLF before `.` CRLF.
 *
 * A line begins after CRLF. Some receivers take a bare LF or a bare CR for a line end too, and would then see the end
 * of the message where the sender saw text: that is how mail is smuggled. Accepted mail holds neither, but one
 * message must stay one message whatever bytes the store returns. So a dot is doubled after every LF and every CR,
 * and NUL, which some receivers drop before they look for the dot, is refused.
 */

const FINAL_DOT = Buffer.from('.\r\n');
const LINE_END_AND_FINAL_DOT = Buffer.from('\r\n.\r\n');
const LF_DOT = Buffer.from('\n.');
const CR_DOT = Buffer.from('\r.');
const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;

export class DotStuffer {
  /** The last two bytes so far; a message begins at the start of a line. */
  #beforePrevious = CR;
  #previous = LF;

  /** The next bytes as they travel: the same memory when no dot needs doubling. Throws `message-damaged` for NUL. */
  push(bytes: Uint8Array): Buffer {
    const chunk = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (chunk.length === 0) return chunk;
    if (chunk.includes(0)) throw new SealpostError('message-damaged', 'the stored message holds a NUL byte');
    const dots = this.#dots(chunk);
    this.#beforePrevious = chunk.length > 1 ? (chunk.at(-2) ?? 0) : this.#previous;
    this.#previous = chunk.at(-1) ?? 0;
    return dots === undefined ? chunk : doubled(chunk, dots);
  }

  /** What ends the message: the final dot, after a CRLF if the text lacks one. */
  end(): Buffer {
    return this.#previous === LF && this.#beforePrevious === CR ? FINAL_DOT : LINE_END_AND_FINAL_DOT;
  }

  /** The positions of dots that begin a line, in order; undefined where there are none. */
  #dots(chunk: Buffer): number[] | undefined {
    const first = chunk[0] === DOT && (this.#previous === LF || this.#previous === CR);
    let afterLf = chunk.indexOf(LF_DOT);
    let afterCr = chunk.indexOf(CR_DOT);
    if (!first && afterLf < 0 && afterCr < 0) return undefined;
    const dots = first ? [0] : [];
    while (afterLf >= 0 || afterCr >= 0) {
      if (afterLf >= 0 && (afterCr < 0 || afterLf < afterCr)) {
        dots.push(afterLf + 1);
        afterLf = chunk.indexOf(LF_DOT, afterLf + 1);
      } else {
        dots.push(afterCr + 1);
        afterCr = chunk.indexOf(CR_DOT, afterCr + 1);
      }
    }
    return dots;
  }
}

function doubled(chunk: Buffer, dots: number[]): Buffer {
  const out = Buffer.allocUnsafe(chunk.length + dots.length);
  let read = 0;
  let write = 0;
  for (const dot of dots) {
    write += chunk.copy(out, write, read, dot);
    out[write++] = DOT;
    read = dot;
  }
  chunk.copy(out, write, read);
  return out;
}
