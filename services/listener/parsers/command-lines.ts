import { isAscii } from 'node:buffer';

/**
 * Cuts what a client sends into command lines. A line ends with CRLF (RFC 5321 §2.3.8); a line that is not one is
 * reported with what is wrong, and the lines after it are read. Memory: one line of at most `maxLength` bytes.
 */

export type LineProblem = 'too-long' | 'bare-lf' | 'bare-cr' | 'nul';

/**
 * `text` is the line without its CRLF, read as UTF-8; `ascii` says that it has no octet above 127. A line that is not
 * valid UTF-8 has replacement characters in it, and `ascii` false.
 */
export type CommandLine = { problem?: LineProblem; text: string; ascii: boolean };

const CR = 0x0d;
const LF = 0x0a;
const EMPTY = Buffer.alloc(0);

export class CommandLines {
  #partial: Buffer = EMPTY;
  /** The current line is too long already; the rest of it is dropped. */
  #discarding = false;
  /** Where the line that was read last ended in its chunk. */
  end = 0;

  /** The next line in `chunk` from `start`, with `end` set after it; undefined when no line ends in this chunk. */
  next(chunk: Buffer, start: number, maxLength: number): CommandLine | undefined {
    const lf = chunk.indexOf(LF, start);
    if (lf < 0) {
      this.#keep(chunk.subarray(start), maxLength);
      this.end = chunk.length;
      return undefined;
    }
    this.end = lf + 1;
    const rest = chunk.subarray(start, this.end);
    const line = this.#partial.length === 0 ? rest : Buffer.concat([this.#partial, rest]);
    const tooLong = this.#discarding || line.length > maxLength;
    this.#partial = EMPTY;
    this.#discarding = false;
    if (tooLong) return { problem: 'too-long', text: '', ascii: true };
    return check(line);
  }

  /** Whether a line has begun that has not ended. */
  get unfinished(): boolean {
    return this.#discarding || this.#partial.length > 0;
  }

  #keep(piece: Buffer, maxLength: number): void {
    if (this.#discarding) return;
    if (this.#partial.length + piece.length > maxLength) {
      this.#discarding = true;
      this.#partial = EMPTY;
    } else {
      // Copies, so that a few bytes do not keep a whole socket buffer alive.
      this.#partial = Buffer.concat([this.#partial, piece]);
    }
  }
}

/** `line` includes its LF. */
function check(line: Buffer): CommandLine {
  const end = line.length - 2;
  if (end < 0 || line[end] !== CR) return { problem: 'bare-lf', text: '', ascii: true };
  const text = line.toString('utf8', 0, end);
  const ascii = isAscii(line);
  const cr = line.indexOf(CR);
  if (cr < end) return { problem: 'bare-cr', text, ascii };
  if (line.indexOf(0) >= 0) return { problem: 'nul', text, ascii };
  return { text, ascii };
}
