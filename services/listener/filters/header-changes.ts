import { SealpostError } from '#shared/errors.ts';
import { encodedWords } from '#shared/mail/encoded-words.ts';
import { foldField, type HeaderField, splitHeader } from '#shared/mail/header.ts';
import { printable } from '#shared/text.ts';
import type { HeaderChange } from './filter.ts';

/**
 * Changes to a header as filters ask for them. A filter may be broken, or repeat what a sender put into its answer: no name
 * and no value of a change can end a field early or begin another.
 */

/** RFC 5322 §2.1.1, without the CRLF. */
const LONGEST_LINE = 998;
const LONGEST_NAME = 100;
/** What the changes of one filter may add up to. */
const MOST_CHANGES = 200;
const MOST_BYTES = 64 * 1024;

/** Fields to put in front, each with its CRLF, and the header where its own fields change (latin1). */
export type ChangedHeader = { added: string[]; header: string | undefined };

/** Rejects what no header may hold. Throws `filter-failed`. */
export function checkChanges(changes: readonly HeaderChange[]): void {
  if (changes.length > MOST_CHANGES)
    throw new SealpostError('filter-failed', `it asks for ${changes.length} changes to the header`);
  let bytes = 0;
  for (const change of changes)
    bytes += change.kind === 'remove' ? nameOf(change.name).length : fieldText(change).length;
  if (bytes > MOST_BYTES) throw new SealpostError('filter-failed', `its changes to the header have ${bytes} bytes`);
}

/**
 * Apply changes that were checked. `seen`: the header block that the filters saw; `now`: the one that the message has, in
 * which policy may have changed fields. A field that policy changed or took away is found again only by its name, where the
 * name has one field in both.
 */
export function changeHeader(changes: readonly HeaderChange[], seen: string, now: string): ChangedHeader {
  const added = changes.flatMap((change) => (change.kind === 'add' ? [fieldText(change)] : []));
  if (added.length === changes.length) return { added, header: undefined };
  const before = splitHeader(seen);
  const fields = splitHeader(now);
  const length = fields.reduce((sum, { raw }) => sum + raw.length, 0);
  const found = new Map<HeaderField, string>();
  for (const change of changes) {
    if (change.kind === 'add') continue;
    const text = change.kind === 'replace' ? fieldText(change) : '';
    const targets = targetsOf(change, before).map((target) => find(target, before, fields, found));
    for (const field of targets) if (field !== undefined) found.set(field, text);
    if (text !== '' && targets.length === 0) added.push(text);
  }
  if (found.size === 0) return { added, header: undefined };
  return { added, header: fields.map((field) => found.get(field) ?? field.raw).join('') + now.slice(length) };
}

function targetsOf(
  { name, occurrence }: Exclude<HeaderChange, { kind: 'add' }>,
  seen: readonly HeaderField[],
): HeaderField[] {
  const named = seen.filter((field) => field.name === name.toLowerCase());
  if (occurrence === 'all') return named;
  const target = named.at(occurrence < 0 ? occurrence : occurrence - 1);
  return target === undefined ? [] : [target];
}

function find(
  target: HeaderField,
  seen: readonly HeaderField[],
  now: readonly HeaderField[],
  taken: ReadonlyMap<HeaderField, string>,
): HeaderField | undefined {
  const same = now.find((field) => field.raw === target.raw && !taken.has(field));
  if (same !== undefined) return same;
  const named = now.filter(({ name }) => name === target.name);
  return named.length === 1 && seen.filter(({ name }) => name === target.name).length === 1 ? named[0] : undefined;
}

/** `Name: value` with its CRLF, in ASCII. Throws `filter-failed`. */
function fieldText({ name, value }: { name: string; value: string }): string {
  const text = value.replace(/\r\n?|\n/g, '\r\n').trim();
  // A fold is a line end before white space, with something behind it (RFC 5322 §2.2.3).
  if (/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r\n(?![ \t]+[^ \t\r])/.test(text)) {
    throw new SealpostError(
      'filter-failed',
      `the value of its field ${nameOf(name)} holds control characters or line ends`,
    );
  }
  const ascii = /^[\t\r\n\x20-\x7e]*$/.test(text) ? text : encodedWords(Buffer.from(text).toString('latin1'));
  const raw = `${nameOf(name)}: ${ascii}\r\n`;
  if (fits(raw) && (ascii.includes('\r\n') || raw.length <= 80)) return raw;
  const folded = foldField(name, ascii.replace(/\r\n/g, ''));
  if (fits(folded)) return folded;
  throw new SealpostError('filter-failed', `its field ${name} has a line of more than ${LONGEST_LINE} characters`);
}

function nameOf(name: string): string {
  if (/^[\x21-\x39\x3b-\x7e]+$/.test(name) && name.length <= LONGEST_NAME) return name;
  throw new SealpostError('filter-failed', `"${printable(name, LONGEST_NAME)}" is not the name of a header field`);
}

const fits = (raw: string): boolean => raw.split('\r\n').every((line) => line.length <= LONGEST_LINE);
