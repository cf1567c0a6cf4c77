import type { HeaderField } from '#shared/mail/header.ts';

/**
 * Which header fields a signature covers, and their relaxed form (RFC 6376 §3.4.2, §5.4). It is the same for every
 * signature of a message, so it is made once.
 */

/**
 * Fields that occur once and that readers show or act on. Each is named once more than it occurs, absent ones too, so
 * that adding one breaks the signature (§5.4.2, §8.15).
 */
const OVERSIGNED = [
  'From',
  'Reply-To',
  'Subject',
  'Date',
  'Message-ID',
  'To',
  'Cc',
  'MIME-Version',
  'Content-Type',
  'Content-Transfer-Encoding',
];

/**
 * Fields that are signed if present (§5.4.1). Sender, List-* and Resent-* are not oversigned: a forwarder may add its own
 * to mail that it otherwise relays unchanged.
 */
const SIGNED = [
  'Sender',
  'In-Reply-To',
  'References',
  'Content-ID',
  'Content-Description',
  'Resent-Date',
  'Resent-From',
  'Resent-Sender',
  'Resent-To',
  'Resent-Cc',
  'Resent-Message-ID',
  'List-Id',
  'List-Help',
  'List-Unsubscribe',
  'List-Unsubscribe-Post',
  'List-Subscribe',
  'List-Post',
  'List-Owner',
  'List-Archive',
];

const COVERED = [
  ...OVERSIGNED.map((name) => ({ name, key: name.toLowerCase(), oversigned: true })),
  ...SIGNED.map((name) => ({ name, key: name.toLowerCase(), oversigned: false })),
];

const COVERED_KEYS = new Set(COVERED.map(({ key }) => key));

/** Each is named in every signature (h=); far more than any header has. */
const MOST_COVERED = 200;

/** `names`: the h= tag in order. `canonical`: the signed fields in relaxed form, in the same order, each with its CRLF. */
export type SignedHeader = { names: string[]; canonical: string };

export function signedHeader(fields: HeaderField[]): SignedHeader {
  const byName = new Map<string, HeaderField[]>();
  for (const field of fields) {
    const same = byName.get(field.name);
    if (same === undefined) byName.set(field.name, [field]);
    else same.push(field);
  }
  const names: string[] = [];
  let canonical = '';
  for (const { name, key, oversigned } of COVERED) {
    // §5.4.2: instances of one name are signed from the bottom of the header up.
    for (const field of byName.get(key)?.toReversed() ?? []) {
      names.push(name);
      canonical += relaxField(field);
    }
    if (oversigned) names.push(name);
  }
  return { names, canonical };
}

/**
 * RFC 6376 §3.4.2: name in lower case, unfolded, runs of white space as one space, none around the value. A CRLF always
 * precedes white space or the end (`malformation` made sure), so it can count as white space.
 */
export function relaxField(field: HeaderField): string {
  const value = field.raw.slice(field.raw.indexOf(':') + 1).replace(/[ \t\r\n]+/g, ' ');
  // Not trim(): it would remove a byte A0, which may be part of a UTF-8 character.
  const start = value.startsWith(' ') ? 1 : 0;
  const end = value.length > start && value.endsWith(' ') ? -1 : value.length;
  return `${field.name}:${value.slice(start, end)}\r\n`;
}

/**
 * Why readers could disagree about where the fields of this header begin and end, or would not read a signature over it;
 * undefined when neither. Any signature over such a header would fail with some verifiers.
 */
export function malformation(block: string, fields: HeaderField[]): string | undefined {
  if (/\r(?!\n)|(?<!\r)\n/.test(block)) return 'the header contains a bare CR or LF';
  for (const { name, raw } of fields) {
    if (name === '' || /\r\n(?![ \t]|$)/.test(raw))
      return 'a line of the header is neither a field nor its continuation';
  }
  const covered = fields.filter(({ name }) => COVERED_KEYS.has(name)).length;
  if (covered > MOST_COVERED) return `the header has ${covered} fields that a signature would have to name`;
  return undefined;
}
