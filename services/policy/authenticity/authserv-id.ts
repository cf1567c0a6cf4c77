import { normalizeDomain } from '#shared/address/address.ts';
import { decodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';

/** Bytes of a field; far more than those have that say anything. */
const LONGEST_UNREADABLE = 16_384;

/**
 * Whether an Authentication-Results field (RFC 8601 §2.2) says that one of ours wrote it: its authserv-id is a domain that
 * `isOurs`. Readers trust such a field, so it counts as ours in every spelling that one of them might accept: letters of
 * either case, in quotes, after comments and folds, with the root dot. Where its authserv-id cannot be read, each domain
 * that stands anywhere in it counts, and where that is in a long field, so does the field.
 */
export function claimsToBeOurs(field: HeaderField, isOurs: (domain: string) => boolean): boolean {
  const value = fieldValue(field);
  const id = authservId(value);
  if (id !== undefined) return isOurs(id.replace(/\.+$/, ''));
  if (value.length > LONGEST_UNREADABLE) return true;
  return wordsOf(value).some((word) => isOurs(normalizeDomain(word.replace(/^[.-]+|\.+$/g, ''))));
}

/**
 * What could be a domain, for readers that pass over white space or comments, or decode encoded words (RFC 2047). Bytes beyond
 * ASCII are UTF-8 (RFC 6532).
 */
function wordsOf(value: string): string[] {
  const text = Buffer.from(value, 'latin1').toString();
  const texts = [text, text.replace(/\s/g, '')];
  if (text.includes('(')) texts.push(outsideComments(text).replace(/\s/g, ''));
  if (text.includes('=?')) texts.push(decodedWords(text));
  return texts.flatMap((one) => plain(one).match(/[\p{L}\p{M}\p{N}._-]+/gu) ?? []);
}

/** Without quoting, and in one of the forms that IDNA takes for the same. */
function plain(text: string): string {
  const bare = text.replace(/["\\]/g, '');
  if (!/[^\x00-\x7f]/.test(bare)) return bare;
  const one = bare.normalize('NFKC').replace(/\p{Default_Ignorable_Code_Point}/gu, '');
  return one.replaceAll('\u3002', '.');
}

/** A comment that does not close takes all behind it. */
function outsideComments(text: string): string {
  let outside = '';
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '\\') at++;
    else if (char === '(') depth++;
    else if (char === ')') depth = Math.max(0, depth - 1);
    else if (depth === 0) outside += char;
  }
  return outside;
}

/** The authserv-id as a domain; undefined: it is none, or readers could disagree where it begins and ends. */
function authservId(value: string): string | undefined {
  const start = afterComments(value, 0);
  if (start === undefined) return undefined;
  const quoted = value.charAt(start) === '"';
  const at = quoted ? start + 1 : start;
  ID.lastIndex = at;
  const id = ID.exec(value)?.[0] ?? '';
  const end = afterComments(value, at + id.length + (quoted ? 1 : 0));
  const closed = !quoted || value.charAt(at + id.length) === '"';
  // A version may follow, and where there are no results nothing else.
  if (id === '' || !closed || end === undefined || !/^(?:$|;|\d)/.test(value.slice(end, end + 1))) return undefined;
  return normalizeDomain(id);
}

const ID = /[A-Za-z0-9._-]*/y;

/** The index behind white space and comments (RFC 5322 §3.2.2, they nest); undefined where one does not close. */
function afterComments(text: string, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text.charAt(i);
    if (depth > 0 && char === '\\') i++;
    else if (char === '(') depth++;
    else if (depth > 0) {
      if (char === ')') depth--;
    } else if (char !== ' ' && char !== '\t') return i;
  }
  return depth > 0 ? undefined : text.length;
}
