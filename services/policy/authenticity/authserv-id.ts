import { normalizeDomain } from '#shared/address/address.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';

/**
 * Whether an Authentication-Results field (RFC 8601 §2.2) says that one of ours wrote it: its authserv-id is a domain that
 * `isOurs`. Readers trust such a field, so it counts as ours in every spelling that one of them might accept: letters of
 * either case, in quotes, after comments and folds, with the root dot. Where its authserv-id cannot be read, each domain
 * that stands anywhere in it counts.
 */
export function claimsToBeOurs(field: HeaderField, isOurs: (domain: string) => boolean): boolean {
  const value = fieldValue(field);
  const id = authservId(value);
  if (id !== undefined) return isOurs(id);
  // Some readers pass over white space inside it.
  const texts = [value, value.replace(/\s/g, '')].map((text) => text.toLowerCase().replace(/["\\]/g, ''));
  const words = texts.flatMap((text) => text.match(/[a-z0-9][a-z0-9.-]*/g) ?? []);
  return words.some((word) => isOurs(normalizeDomain(word)));
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
