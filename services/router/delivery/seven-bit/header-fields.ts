import { isUtf8 } from 'node:buffer';
import { charsetOf, encodedWords } from '#shared/mail/encoded-words.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { NotConvertible } from './not-convertible.ts';
import { parseParameters, unfold } from './parameters.ts';

/**
 * Raw 8-bit characters in header fields, which undeclared mail may have, in the forms of ASCII that readers know: encoded
 * words (RFC 2047) in text, comments and display names, RFC 2231 in parameters. A field whose 8-bit characters have no such
 * form makes the message not convertible.
 *
 * Texts are latin1, one character a byte. Where the bytes are UTF-8 they are called that, else `unknown-8bit` (RFC 1428).
 * Each function takes time linear in its text: a stranger wrote it.
 */

const ADDRESSES =
  /^(?:resent-)?(?:from|sender|reply-to|to|cc|bcc)$|^(?:disposition-notification-to|return-receipt-to|errors-to)$/;
const PARAMETERS = /^content-(?:type|disposition)$/;
/** Fields that hold no text of people. */
const MACHINE =
  /^(?:(?:resent-)?(?:date|message-id)|in-reply-to|references|received|return-path|mime-version|content-id|content-transfer-encoding|dkim-signature|arc-.*|authentication-results|list-.*)$/;

/** The raw field with its CRLF, 7-bit. Throws `NotConvertible`. */
export function sevenBitField({ name, raw }: HeaderField): string {
  if (isSevenBit(raw)) return raw;
  const start = raw.indexOf(':') + 1;
  let value: string | undefined;
  if (ADDRESSES.test(name)) value = addresses(raw.slice(start));
  else if (PARAMETERS.test(name)) value = parameters(unfold(raw));
  else if (name !== '' && !MACHINE.test(name)) value = words(raw.slice(start));
  if (value === undefined || !isSevenBit(value))
    throw new NotConvertible(`its field ${name} has 8-bit characters that have no 7-bit form`);
  return raw.slice(0, start) + value;
}

function isSevenBit(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

/**
 * Unstructured text: each run of 8-bit words, with the white space in it, which is not shown between two encoded words
 * (RFC 2047 §6.2). Folds between other words stay.
 */
function words(value: string): string {
  // Words and white space take turns.
  const tokens = value.split(/([ \t\r\n]+)/);
  const out: string[] = [];
  for (let n = 0; n < tokens.length; n++) {
    let run = tokens[n] ?? '';
    if (isSevenBit(run)) {
      out.push(run);
      continue;
    }
    for (; !isSevenBit(tokens[n + 2] ?? ''); n += 2) run += `${tokens[n + 1]}${tokens[n + 2]}`;
    out.push(encodedWords(run));
  }
  return out.join('');
}

/** White space, a quoted string, a comment without others in it, an address in brackets, a special, or a word. */
const TOKEN = /[ \t\r\n]+|"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)|<[^<>]*>|[,:;@[\]]|[^ \t\r\n,:;@<>()[\]"\\]+/sy;

/** The tokens of a list of addresses; undefined where something does not end, which readers take differently. */
function tokensOf(value: string): string[] | undefined {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < value.length) {
    const token = TOKEN.exec(value)?.[0];
    if (token === undefined) return undefined;
    tokens.push(token);
  }
  return tokens;
}

/** A list of addresses: its display names and comments. What is 8-bit in an address itself stays as it is. */
function addresses(value: string): string | undefined {
  const tokens = tokensOf(value);
  if (tokens === undefined) return undefined;
  const out: string[] = [];
  for (let n = 0; n < tokens.length; n++) {
    const token = tokens[n] ?? '';
    if (token.startsWith('(')) out.push(`(${words(token.slice(1, -1))})`);
    else if (!isName(tokens, n)) out.push(token);
    else {
      const before = n === 0 || isSpace(tokens[n - 1]) ? '' : ' ';
      const run = [textOf(token)];
      for (; isSpace(tokens[n + 1]) && isName(tokens, n + 2); n += 2) run.push(textOf(tokens[n + 2] ?? ''));
      // An encoded word stands alone (RFC 2047 §5, rule 3).
      out.push(before, encodedWords(run.join(' ')), isSpace(tokens[n + 1]) ? '' : ' ');
    }
  }
  return out.join('');
}

function isSpace(token: string | undefined): boolean {
  return token !== undefined && /^[ \t\r\n]/.test(token);
}

/** Whether a token is a word of a display name with 8-bit characters. */
function isName(tokens: readonly string[], n: number): boolean {
  const token = tokens[n] ?? '';
  return !isSevenBit(token) && !/^[<(]/.test(token) && tokens[n - 1] !== '@' && tokens[n + 1] !== '@';
}

function textOf(token: string): string {
  return token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/gs, '$1') : token;
}

/** Bytes of a value, so that its line stays shorter than 998 characters. */
const LONGEST_VALUE = 250;

/** RFC 2231 §4: `name*=utf-8''Gr%C3%BC%C3%9Fe`. */
function parameters(value: string): string | undefined {
  const parsed = parseParameters(value);
  if (parsed === undefined) return undefined;
  const texts = parsed.parameters.map((parameter) => {
    if (isSevenBit(parameter.text) || parameter.value.length > LONGEST_VALUE) return parameter.text;
    const bytes = Buffer.from(parameter.value, 'latin1');
    return `${parameter.name}*=${charsetOf(isUtf8(bytes))}''${percentEncoded(bytes)}`;
  });
  return `${[parsed.head, ...texts].join(';\r\n\t')}\r\n`;
}

function percentEncoded(bytes: Uint8Array): string {
  const escaped = [...bytes].map((byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9._-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return escaped.join('');
}
