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
  const fields = splitHeader(now);
  const length = fields.reduce((sum, { raw }) => sum + raw.length, 0);
  const places = new Places(splitHeader(seen), fields);
  const found = new Map<HeaderField, string>();
  for (const change of changes) {
    if (change.kind === 'add') continue;
    const text = change.kind === 'replace' ? fieldText(change) : '';
    const targets = places.targetsOf(change);
    for (const target of targets) {
      const field = places.find(target);
      if (field !== undefined) found.set(field, text);
    }
    if (text !== '' && targets.length === 0) added.push(text);
  }
  if (found.size === 0) return { added, header: undefined };
  return { added, header: fields.map((field) => found.get(field) ?? field.raw).join('') + now.slice(length) };
}

/** Where the fields that filters saw stand now. A sender may write a hundred thousand: none is searched for. */
class Places {
  readonly #seen: Map<string, HeaderField[]>;
  readonly #now: Map<string, HeaderField[]>;
  /** Those of one text that are not taken yet, the first one last. */
  readonly #same: Map<string, HeaderField[]>;

  constructor(seen: readonly HeaderField[], now: readonly HeaderField[]) {
    this.#seen = Map.groupBy(seen, ({ name }) => name);
    this.#now = Map.groupBy(now, ({ name }) => name);
    this.#same = Map.groupBy(now.toReversed(), ({ raw }) => raw);
  }

  targetsOf({ name, occurrence }: Exclude<HeaderChange, { kind: 'add' }>): readonly HeaderField[] {
    const named = this.#seen.get(name.toLowerCase()) ?? [];
    if (occurrence === 'all') return named;
    const target = named.at(occurrence < 0 ? occurrence : occurrence - 1);
    return target === undefined ? [] : [target];
  }

  find({ name, raw }: HeaderField): HeaderField | undefined {
    const same = this.#same.get(raw)?.pop();
    if (same !== undefined) return same;
    const [only, ...more] = this.#now.get(name)?.slice(0, 2) ?? [];
    return more.length === 0 && this.#seen.get(name)?.length === 1 ? only : undefined;
  }
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
