import { decodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';

/** A tag at the beginning of Subject, in ASCII or as an encoded word (RFC 2047). */

const MAX_LINE = 78;
/** Of a subject: what is looked at. */
const LOOKED_AT = 1000;
/** `Re:`, `AW[2]:`, `[list]`: what replies and lists put in front. */
const PREFIXES = /^(?:(?:\p{L}{1,8}(?:[[(]\d{1,3}[\])])?\s?:|\[[^\]]{1,40}\])\s*)*/u;

/**
 * The field with the tag in front. The field itself where it has the tag there already, behind what replies put in front of
 * it: nowhere else, because a sender could hide it at the end.
 */
export function tagged(field: HeaderField, tag: string): HeaderField {
  if (isTagged(field, tag)) return field;
  const colon = field.raw.indexOf(':') + 1;
  const value = field.raw.slice(colon).replace(/^[ \t]+/, '');
  // White space between two encoded words is not shown (RFC 2047 §6.2).
  const word = encoded(tag, /^(?:\r\n[ \t]+)?=\?/.test(value));
  const name = field.raw.slice(0, colon);
  const first = `${name} ${word}`;
  const blank = value === '' || /^\r\n(?![ \t])/.test(value);
  const [line = ''] = value.split('\r\n', 1);
  const fits = first.length + 1 + line.length <= MAX_LINE;
  const gap = blank || line === '' ? '' : fits ? ' ' : '\r\n ';
  return { ...field, raw: `${first}${gap}${value}` };
}

function isTagged(field: HeaderField, tag: string): boolean {
  const subject = decodedWords(Buffer.from(fieldValue(field), 'latin1').toString('utf8').slice(0, LOOKED_AT));
  if (subject.startsWith(tag)) return true;
  const [prefix = ''] = PREFIXES.exec(subject) ?? [];
  // The tag may look like what lists put in front.
  return subject.slice(prefix.length).startsWith(tag) || prefix.includes(tag);
}

function encoded(tag: string, beforeWord: boolean): string {
  if (/^[\x20-\x7e]*$/.test(tag)) return tag;
  return `=?utf-8?B?${Buffer.from(beforeWord ? `${tag} ` : tag).toString('base64')}?=`;
}
