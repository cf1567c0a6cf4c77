import { fieldValue, type HeaderField } from '../mail/header.ts';
import { domainOf } from './address.ts';
import { parseAddressList } from './address-list.ts';

/**
 * The authors that readers see in a From field, also in one that breaks the grammar of RFC 5322, as many do:
 * `a@d <a@d>`, `Doe, Ann <a@d>`, `Ann [Help] <a@d>`, `Ann <a@d`. Whether a From is well formed is no question of DKIM
 * or of permission; whose it is, is.
 *
 * - A list of addresses (RFC 5322 §3.4, §4.4) is read as one.
 * - In anything else every `local@domain` counts that some reader could take for the author: in angle brackets or not, in
 *   quotes, in comments, in encoded words (RFC 2047). So the caller sees all of them, and decides whether they agree.
 * - `problem`: readers could also see something that is not in `addresses`, or nothing at all.
 *
 * Time is linear in the length of the field, and what comes back is bounded.
 */
export type Authors = { addresses: string[]; problem?: string };

/** Far more than any message has. */
const MOST_AUTHORS = 100;
const TOO_MANY = `it has more than ${MOST_AUTHORS} addresses`;
/** RFC 1035 §2.3.4, in text without the root; and with the longest local part of RFC 5321 §4.5.3.1.1. */
const MAX_DOMAIN = 253;
const MAX_ADDRESS = 64 + 1 + MAX_DOMAIN;

/** The authors of a From field, or the addresses of a Sender or Resent-From. Text beyond ASCII is UTF-8 (RFC 6532). */
export function authorsOf(field: HeaderField): Authors {
  const end = field.raw.search(/\r\n(?![ \t])/);
  const whole = end < 0 || end === field.raw.length - 2;
  const value = fieldValue(whole ? field : { ...field, raw: field.raw.slice(0, end) });
  const authors = readAuthors(Buffer.from(value, 'latin1').toString('utf8'));
  return whole ? authors : { ...authors, problem: 'a line of it is neither a field nor a continuation' };
}

/** `value` is unfolded. */
export function readAuthors(value: string): Authors {
  const list = parseAddressList(value);
  return list === undefined ? guess(value) : bounded(list);
}

function bounded(addresses: string[]): Authors {
  const some = addresses
    .slice(0, MOST_AUTHORS)
    .filter((address) => address.length <= MAX_ADDRESS && domainOf(address).length <= MAX_DOMAIN);
  if (some.length === addresses.length) return { addresses };
  const problem =
    addresses.length > MOST_AUTHORS
      ? TOO_MANY
      : `an address in it is longer than ${MAX_ADDRESS} characters, or its domain than ${MAX_DOMAIN}`;
  return { addresses: some, problem };
}

function guess(value: string): Authors {
  const texts = [value, ...encodedWords(value)];
  const found = texts.map(findAddresses);
  const addresses = [...new Set(found.flatMap((f) => f.addresses))];
  if (addresses.length === 0) return { addresses, problem: found[0]?.problem ?? 'it has no address' };
  const problem = found.find((f) => f.problem !== undefined)?.problem;
  return problem === undefined ? bounded(addresses) : { ...bounded(addresses), problem };
}

/** What ends a word of an address: white space, and what RFC 5322 §3.2.3 reserves. */
const SPECIAL = /[\x00-\x20"(),:;<>@[\\\]\x7f]/;
/** A domain may end in the root dot, and be the last of an encoded word. */
const DOMAIN = /^([A-Za-z0-9_\u0080-\u{10ffff}-]+(?:\.[A-Za-z0-9_\u0080-\u{10ffff}-]+)*)\.?(?:\?=)?$/u;
const AFTER_AT = /[^\x00-\x20"(),:;<>@[\\\]\x7f]*/y;
/** After a domain: it goes on for those who read over white space, comments, quoting and control characters. */
const GOES_ON = /[ \t]*[.(@]|[\x01-\x08\x0b\x0c\x0e-\x1f\\\x7f]|(?<=\.)[ \t]*[^\x00-\x20"(),:;<>@[\\\]\x7f]/y;

/** Every `local@domain` in a text, however it stands there. */
function findAddresses(text: string): Authors {
  const addresses: string[] = [];
  let problem = /[\x00\r\n]/.test(text) ? 'it has control characters' : undefined;
  let seen = 0;
  for (let at = text.indexOf('@'), floor = 0; at >= 0; floor = at + 1, at = text.indexOf('@', at + 1)) {
    if (++seen > MOST_AUTHORS) return { addresses, problem: TOO_MANY };
    AFTER_AT.lastIndex = at + 1;
    const written = AFTER_AT.exec(text)?.[0] ?? '';
    const domain = written.length > MAX_DOMAIN + 3 ? undefined : DOMAIN.exec(written)?.[1];
    GOES_ON.lastIndex = at + 1 + written.length;
    let start = at;
    while (start > floor && !SPECIAL.test(text.charAt(start - 1))) start--;
    if (domain === undefined || start === at || GOES_ON.test(text)) problem ??= 'it is not clear where an address ends';
    if (domain === undefined) continue;
    addresses.push(`${text.slice(start, at)}@${domain}`);
  }
  return problem === undefined ? { addresses } : { addresses, problem };
}

/** What the encoded words of a text hold that looks like an address. Their character sets agree on ASCII, mostly. */
function encodedWords(text: string): string[] {
  const words = text.matchAll(/=\?[^?\s]{1,80}\?([bBqQ])\?([^?\s]*)\?=/g);
  return [...words]
    .map(([, encoding = '', content = '']) =>
      encoding.toLowerCase() === 'b'
        ? Buffer.from(content, 'base64').toString('utf8')
        : content.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    )
    .filter((decoded) => decoded.includes('@'));
}
