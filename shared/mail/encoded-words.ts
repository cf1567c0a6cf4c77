import { isUtf8 } from 'node:buffer';

/**
 * Encoded words (RFC 2047): text of any characters in a header field of ASCII. Where the bytes are UTF-8 they are called
 * that, else `unknown-8bit` (RFC 1428).
 */

/** An encoded word has at most 75 characters (RFC 2047 §2): this many bytes fit with the longer of the charsets. */
const WORD_BYTES = 39;

export function charsetOf(isText: boolean): string {
  return isText ? 'utf-8' : 'unknown-8bit';
}

/** `text`: latin1, one character a byte; its folds are taken out. Folded between words. */
export function encodedWords(text: string): string {
  const bytes = Buffer.from(text.replace(/\r\n/g, ''), 'latin1');
  const isText = isUtf8(bytes);
  const encoded: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    let end = Math.min(at + WORD_BYTES, bytes.length);
    // No character is cut in two (§5).
    while (isText && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
    encoded.push(`=?${charsetOf(isText)}?B?${bytes.toString('base64', at, end)}?=`);
    at = end;
  }
  return encoded.join('\r\n ');
}

/** Encoded words as what they say; those that cannot be read stay. */
export function decodedWords(text: string): string {
  return text
    .replace(/(\?=)\s+(?==\?[^?\s]{1,60}\?[bq]\?)/gi, '$1')
    .replace(
      /=\?([^?*\s]{1,40})(?:\*[^?\s]{1,20})?\?([bq])\?([^?\s]*)\?=/gi,
      (word, charset: string, kind: string, data: string) => {
        const bytes = kind.toLowerCase() === 'b' ? Buffer.from(data, 'base64') : quotedBytes(data);
        try {
          return new TextDecoder(charset).decode(bytes);
        } catch (error) {
          if (error instanceof RangeError) return word;
          throw error;
        }
      },
    );
}

/** The Q encoding (RFC 2047 §4.2). */
function quotedBytes(data: string): Buffer {
  const text = data
    .replaceAll('_', ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(text, 'latin1');
}
