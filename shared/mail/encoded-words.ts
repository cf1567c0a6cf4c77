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
