import { SealpostError } from '#shared/errors.ts';
import type { Reply } from '#shared/reply.ts';
import { cut, oneLine } from '#shared/text.ts';

/**
 * Replies of a peer, out of its bytes (RFC 5321 §4.2).
 *
 * Strict where a guess could give a message the wrong fate: three digits, then a space, a hyphen or nothing, and
 * the same code on every line of a reply. Bounded, because the peer may be anyone. Lenient in one place: a line may
 * end in a bare LF. A reply carries no message, so nothing can be smuggled by it, and such peers exist.
 */

/** Longest line, line end included; RFC 5321 §4.5.3.1.5 allows 512, real peers say more. */
export const MAX_REPLY_LINE = 2048;
/** Most lines of one reply. */
export const MAX_REPLY_LINES = 100;
/** Most characters of a reply's text that are kept: it is stored with every recipient. */
const MAX_TEXT = 1000;

/** One reply, and its lines without codes (EHLO needs them apart). */
export type PeerReply = { reply: Reply; lines: readonly string[] };

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);

export class ReplyParser {
  #buffer: Buffer = EMPTY;
  #position = 0;
  #code = 0;
  #lines: string[] = [];

  push(chunk: Buffer): void {
    this.#buffer =
      this.#position === this.#buffer.length ? chunk : Buffer.concat([this.#buffer.subarray(this.#position), chunk]);
    this.#position = 0;
  }

  /** The next whole reply, if there is one. Throws `peer-protocol` when what came is no reply. */
  next(): PeerReply | undefined {
    for (;;) {
      const end = this.#buffer.indexOf(LF, this.#position);
      const length = (end < 0 ? this.#buffer.length : end + 1) - this.#position;
      if (length > MAX_REPLY_LINE) throw this.#rubbish(`a reply line of more than ${MAX_REPLY_LINE} bytes`);
      if (end < 0) return undefined;
      const start = this.#position;
      this.#position = end + 1;
      const reply = this.#line(start, end > start && this.#buffer[end - 1] === CR ? end - 1 : end);
      if (reply !== undefined) return reply;
    }
  }

  /** Forget what was not read yet; how many bytes that was. */
  clear(): number {
    const dropped = this.#buffer.length - this.#position;
    this.#buffer = EMPTY;
    this.#position = 0;
    this.#lines = [];
    return dropped;
  }

  #line(start: number, end: number): PeerReply | undefined {
    const buffer = this.#buffer;
    const code = digit(buffer[start]) * 100 + digit(buffer[start + 1]) * 10 + digit(buffer[start + 2]);
    const mark = end - start > 3 ? buffer[start + 3] : 0x20;
    if (end - start < 3 || !(code >= 200 && code <= 599) || (mark !== 0x20 && mark !== 0x2d)) {
      throw this.#rubbish(`"${oneLine(buffer.toString('utf8', start, end), 200)}"`);
    }
    if (this.#lines.length > 0 && code !== this.#code) {
      throw this.#rubbish(`a reply with two codes, ${this.#code} and ${code}`);
    }
    if (this.#lines.length === MAX_REPLY_LINES) throw this.#rubbish(`a reply of more than ${MAX_REPLY_LINES} lines`);
    this.#code = code;
    this.#lines.push(end - start > 4 ? oneLine(buffer.toString('utf8', start + 4, end), MAX_REPLY_LINE) : '');
    if (mark === 0x2d) return undefined;
    const lines = this.#lines;
    this.#lines = [];
    return { reply: makeReply(code, lines), lines };
  }

  #rubbish(what: string): SealpostError {
    this.clear();
    return new SealpostError('peer-protocol', `the peer sent ${what} instead of an SMTP reply`);
  }
}

function digit(byte: number | undefined): number {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : Number.NaN;
}

/** The enhanced code at the start of a line (RFC 2034 §4: its class is the first digit of the reply code). */
function makeReply(code: number, lines: readonly string[]): Reply {
  const first = lines[0] ?? '';
  const enhanced = /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/.exec(first)?.[1];
  if (enhanced === undefined || Number(enhanced[0]) !== Math.floor(code / 100)) {
    return { code, text: cut(lines.length === 1 ? first : lines.join(' '), MAX_TEXT) };
  }
  const texts = lines.map((line) => (line.startsWith(enhanced) ? line.slice(enhanced.length + 1) : line));
  return { code, enhanced, text: cut(texts.join(' '), MAX_TEXT) };
}
