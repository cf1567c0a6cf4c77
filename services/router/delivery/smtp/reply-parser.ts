import { SealpostError } from '#shared/errors.ts';
import type { Reply } from '#shared/mail/reply.ts';
import { cut, oneLine } from '#shared/text.ts';

/**
 * Replies of a peer, out of its bytes (RFC 5321 §4.2).
 *
 * The code decides, its text is for people: so a reply counts whatever its length and its number of lines, also when
 * the peer closes before the end of the line, and only what is kept of it is bounded. A reply whose lines have different
 * codes has that of the last one, as other clients read it. What does not begin with three digits is no reply: a
 * guess could give a message the wrong fate. A line may end in a bare LF: a reply carries no message, so nothing can be
 * smuggled by it, and such peers exist.
 */

/** Bytes of one reply that are read; RFC 5321 §4.5.3.1.5 allows lines of 512, real peers say more. */
export const MAX_REPLY_BYTES: number = 64 * 1024;
/** Most characters of a line, and of a reply's text, that are kept: the text is stored with every recipient. */
const MAX_LINE = 2048;
const MAX_TEXT = 1000;

/**
 * One reply, and its lines without codes (EHLO needs them apart). `cut`: the peer has not ended it after
 * `MAX_REPLY_BYTES`; where its next reply begins is unknown.
 */
export type PeerReply = { reply: Reply; lines: readonly string[]; cut?: true };

const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const SPACE = 0x20;
const HYPHEN = 0x2d;
const EMPTY = Buffer.alloc(0);

export class ReplyParser {
  /** `#position` to `#end` is unread; before `#searched` it holds no LF. */
  #buffer: Buffer = EMPTY;
  #position = 0;
  #searched = 0;
  #end = 0;
  /** The buffer was made here, and has room behind `#end`: a line in many pieces is copied a few times, not each time. */
  #own = false;
  /** Of the reply that has begun: bytes of its whole lines, their texts, and the last code. */
  #bytes = 0;
  #lines: string[] = [];
  #code = 0;

  push(chunk: Buffer): void {
    const unread = this.#end - this.#position;
    if (unread === 0) {
      this.#buffer = chunk;
      this.#own = false;
      this.#position = 0;
      this.#searched = 0;
      this.#end = chunk.length;
      return;
    }
    if (!this.#own || this.#buffer.length - this.#end < chunk.length) {
      const larger = Buffer.allocUnsafe(2 * (unread + chunk.length));
      this.#buffer.copy(larger, 0, this.#position, this.#end);
      this.#buffer = larger;
      this.#own = true;
      this.#searched -= this.#position;
      this.#position = 0;
      this.#end = unread;
    }
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole reply, if there is one. Throws `peer-protocol` when what came is no reply. */
  next(): PeerReply | undefined {
    for (;;) {
      const start = this.#position;
      const found = this.#buffer.subarray(this.#searched, this.#end).indexOf(LF);
      const end = this.#searched + found;
      this.#searched = found < 0 ? this.#end : end + 1;
      if (this.#bytes + this.#searched - start > MAX_REPLY_BYTES) return this.#cutOff();
      if (found < 0) return undefined;
      this.#position = end + 1;
      this.#bytes += end + 1 - start;
      const reply = this.#line(start, end > start && this.#buffer[end - 1] === CR ? end - 1 : end);
      if (reply !== undefined) return reply;
    }
  }

  /** The reply that has begun, as far as it has come: no more will. Undefined where it has no code yet. */
  last(): PeerReply | undefined {
    const start = this.#position;
    const end = this.#end;
    this.#position = end;
    if (end - start < 3) return this.#reply();
    return this.#line(start, end) ?? this.#reply();
  }

  /** Forget what was not read yet; how many bytes that was. */
  clear(): number {
    const dropped = this.#end - this.#position;
    this.#buffer = EMPTY;
    this.#position = 0;
    this.#end = 0;
    this.#bytes = 0;
    this.#lines = [];
    return dropped;
  }

  #line(start: number, end: number): PeerReply | undefined {
    // An empty line says nothing; it must not hide the reply behind it.
    if (end === start) return undefined;
    const buffer = this.#buffer;
    const code = digit(buffer[start]) * 100 + digit(buffer[start + 1]) * 10 + digit(buffer[start + 2]);
    const mark = end - start > 3 ? buffer[start + 3] : SPACE;
    if (end - start < 3 || !(code >= 200 && code <= 599) || (mark !== SPACE && mark !== TAB && mark !== HYPHEN)) {
      throw this.#rubbish(start, end);
    }
    this.#code = code;
    this.#lines.push(end - start > 4 ? oneLine(buffer.toString('utf8', start + 4, end), MAX_LINE) : '');
    return mark === HYPHEN ? undefined : this.#reply();
  }

  #reply(): PeerReply | undefined {
    const lines = this.#lines;
    if (lines.length === 0) return undefined;
    this.#bytes = 0;
    this.#lines = [];
    return { reply: makeReply(this.#code, lines), lines };
  }

  #cutOff(): PeerReply {
    const start = this.#position;
    const reply = this.last();
    if (reply === undefined) throw this.#rubbish(start, this.#end);
    this.clear();
    return { ...reply, cut: true };
  }

  #rubbish(start: number, end: number): SealpostError {
    const text = oneLine(this.#buffer.toString('utf8', start, end), 200);
    this.clear();
    return new SealpostError('peer-protocol', `the peer sent "${text}" instead of an SMTP reply`);
  }
}

function digit(byte: number | undefined): number {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : Number.NaN;
}

/** The enhanced code at the start of a line (RFC 2034 §4: its class is the first digit of the reply code). */
function makeReply(code: number, lines: readonly string[]): Reply {
  const enhanced = lines
    .map(enhancedCode)
    .find((found) => found !== undefined && Number(found[0]) === Math.floor(code / 100));
  if (enhanced === undefined) return { code, text: cut(lines.join(' '), MAX_TEXT) };
  const texts = lines.map((line) => (enhancedCode(line) === enhanced ? line.slice(enhanced.length + 1) : line));
  return { code, enhanced, text: cut(texts.join(' '), MAX_TEXT) };
}

function enhancedCode(line: string): string | undefined {
  return /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/.exec(line)?.[1];
}
