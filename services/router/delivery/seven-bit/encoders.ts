/**
 * Content-transfer-encodings of RFC 2045 §6.7 and §6.8, as the bytes stream by: memory does not grow with the content.
 * Lines end with CRLF, and no line is longer than 76 characters.
 */

export type Encoder = {
  /** Content without line ends. */
  push(bytes: Uint8Array): Buffer;
  /** A line end of the content. */
  lineEnd(): Buffer;
  /** What is left; the content has ended. */
  end(): Buffer;
};

const LONGEST_LINE = 76;
const CRLF = Buffer.from('\r\n');
const SOFT_BREAK = Buffer.from('=\r\n');
const NOTHING = Buffer.alloc(0);
const EQUALS = 0x3d;
const SPACE = 0x20;
const TAB = 0x09;
const HEX = Buffer.from('0123456789ABCDEF');

export class QuotedPrintable implements Encoder {
  #column = 0;
  /** White space that may turn out to end its line, where it must be encoded (§6.7, rule 3). */
  #space: number | undefined;
  #out = Buffer.alloc(0);
  #used = 0;

  push(bytes: Uint8Array): Buffer {
    // At most: three characters for each byte and for the space before, and a soft break for each line of these.
    this.#begin(bytes.length);
    for (const byte of bytes) {
      if (this.#space !== undefined) this.#literal(this.#space);
      this.#space = undefined;
      if (byte === SPACE || byte === TAB) this.#space = byte;
      else if (byte > 32 && byte < 127 && byte !== EQUALS) this.#literal(byte);
      else this.#escaped(byte);
    }
    return this.#taken();
  }

  lineEnd(): Buffer {
    this.#begin(0);
    this.#endSpace();
    this.#column = 0;
    return Buffer.concat([this.#taken(), CRLF]);
  }

  end(): Buffer {
    this.#begin(0);
    this.#endSpace();
    return this.#taken();
  }

  #begin(bytes: number): void {
    this.#out = Buffer.allocUnsafe(Math.ceil((bytes + 1) * 3 * 1.1) + 8);
    this.#used = 0;
  }

  #taken(): Buffer {
    return this.#out.subarray(0, this.#used);
  }

  #endSpace(): void {
    if (this.#space !== undefined) this.#escaped(this.#space);
    this.#space = undefined;
  }

  #literal(byte: number): void {
    this.#room(1);
    this.#out[this.#used++] = byte;
  }

  #escaped(byte: number): void {
    this.#room(3);
    this.#out[this.#used++] = EQUALS;
    this.#out[this.#used++] = HEX[byte >> 4] ?? 0;
    this.#out[this.#used++] = HEX[byte & 15] ?? 0;
  }

  /** Break the line where what comes next, and the `=` of another soft break, would not fit. */
  #room(characters: number): void {
    if (this.#column + characters > LONGEST_LINE - 1) {
      this.#used += SOFT_BREAK.copy(this.#out, this.#used);
      this.#column = 0;
    }
    this.#column += characters;
  }
}

/** Bytes that make one line of 76 characters. */
const BASE64_LINE = 57;

export class Base64 implements Encoder {
  #rest = NOTHING;

  push(bytes: Uint8Array): Buffer {
    const all = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const whole = all.length - (all.length % BASE64_LINE);
    const lines: string[] = [];
    for (let at = 0; at < whole; at += BASE64_LINE) lines.push(all.toString('base64', at, at + BASE64_LINE), '\r\n');
    this.#rest = all.subarray(whole);
    return Buffer.from(lines.join(''), 'latin1');
  }

  lineEnd(): Buffer {
    return this.push(CRLF);
  }

  end(): Buffer {
    const last = Buffer.from(this.#rest.toString('base64'), 'latin1');
    this.#rest = NOTHING;
    return last;
  }
}

/** A whole text, with its line ends, in quoted-printable. */
export function quotedPrintable(text: Uint8Array): Buffer {
  const encoder = new QuotedPrintable();
  const bytes = Buffer.from(text);
  const parts: Buffer[] = [];
  let at = 0;
  for (let end = bytes.indexOf(CRLF); end >= 0; end = bytes.indexOf(CRLF, at)) {
    parts.push(encoder.push(bytes.subarray(at, end)), encoder.lineEnd());
    at = end + CRLF.length;
  }
  parts.push(encoder.push(bytes.subarray(at)), encoder.end());
  return Buffer.concat(parts);
}
