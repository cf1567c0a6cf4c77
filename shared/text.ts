/**
 * Text of others (a client's words, a peer's reply, a record in DNS) on its way into a log line, an SMTP reply, a header
 * field or a terminal. One definition says what must not get there; a terminal shows it escaped (`console/cli/table.ts`).
 */

/**
 * Characters that end a line, steer a terminal, or change how the text around them reads: control characters, format
 * characters (bidirectional overrides and what is invisible), separators of lines and paragraphs, halves of surrogate
 * pairs. Not the two joiners, which words of several scripts and emoji are written with.
 */
export const UNPRINTABLE: RegExp = /[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]--[\u200c\u200d]]/v;

const EACH = new RegExp(UNPRINTABLE, 'gv');
const EACH_IN_JSON = /[[\p{Cf}\p{Zl}\p{Zp}\x7f-\x9f]--[\u200c\u200d]]/gv;

/** The longest path of RFC 5321 §4.5.3.1.3. */
const LONGEST_PATH = 256;

/**
 * Words of others, an address or a name, inside a text of ours: `?` for what is unprintable, at most `longest` and `…`.
 */
export function printable(text: string, longest: number = LONGEST_PATH): string {
  return replace(text, longest, '?');
}

/** A whole line of a reply or the value of a header field: spaces for what is unprintable, at most `longest` and `…`. */
export function oneLine(text: string, longest: number): string {
  return replace(text, longest, ' ');
}

/** The beginning of a record in DNS, in quotes. Its characters stand for bytes: `?` for those that are not ASCII. */
export function excerpt(text: string, longest: number): string {
  return `"${cut(text.replace(/[^\x20-\x7e]/g, '?'), longest)}"`;
}

/**
 * JSON with escapes for what is unprintable in its strings: the same value, and nothing that steers a terminal that shows
 * it. `JSON.stringify` itself escapes what is below U+0020 and lone surrogates only.
 */
export function escapeJson(json: string): string {
  // Nearly all of it is ASCII, and every line of the log passes.
  if (!/[\x7f-\uffff]/.test(json)) return json;
  return json.replace(EACH_IN_JSON, (char) =>
    char
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** The first `longest` characters, and `…` where there were more. No surrogate pair is cut in two. */
export function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest).replace(/[\ud800-\udbff]$/, '')}…`;
}

function replace(text: string, longest: number, by: string): string {
  const start = cut(text, longest);
  // Nearly all text is like this, and every SMTP reply passes.
  return /^[\x20-\x7e]*$/.test(start) ? start : start.replace(EACH, by);
}
