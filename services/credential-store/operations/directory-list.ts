import type { Replicated } from '#cluster/replicated/map.ts';
import { entryOf } from '#shared/directory/entries.ts';
import { type DirectoryKind, type DirectoryRecord, directoryKey, type EntryKind } from '#shared/directory/records.ts';
import { type DirectoryList, proveDirectory } from '#shared/dkim/list-proof.ts';
import { SealpostError } from '#shared/errors.ts';
import { missing, nameOf, type RecordOf } from '../directory/change.ts';
import { behindOf } from '../records/behind.ts';
import type { Operation, OperationDeps } from './deps.ts';

/** What policy follows, and what commands show. An answer stays below the 1 MB that NATS carries. */

const PAGE_BYTES = 400_000;
const CHANGED_BYTES = 150_000;
const ENTRIES = 500;
/** One is enough for policy to know that it does not know all; but each block counts. */
const MOST_LOST = 100;
const BLOCKS = directoryKey('block', '');

type Entries = readonly Replicated<DirectoryRecord>[];

export const directoryList: Operation<'directory-list'> = (deps, { after, since, nonce }) => {
  const { directory, knownEmpty, settings, seal } = deps;
  if (directory.state === 'behind' || !knownEmpty.isKnown) {
    throw new SealpostError('not-caught-up', 'this node does not know the directory of the others yet');
  }
  const changed = since === undefined ? undefined : changedKeys(directory, since);
  const entries = changed === undefined ? directory.entries() : changed.flatMap((key) => directory.get(key) ?? []);
  const { page, next } = pageAfter(entries, after);
  // Who is in them is not known: policy must not say that somebody does not exist.
  const lost = changed === undefined && after === undefined ? toldLost(directory.lost) : [];
  const list = {
    node: settings.current.node.name,
    revision: directory.revision,
    records: [...lost.map((key) => ({ key, json: '' })), ...page],
    cursor: directory.cursor,
    ...behindOf(directory),
    ...(changed === undefined ? {} : { changed }),
    ...(next === undefined ? {} : { next }),
  } satisfies DirectoryList;
  if (nonce === undefined || seal.neks.length === 0) return list;
  return { ...list, macs: proveDirectory(seal.neks, { nonce, since, after }, list) };
};

function toldLost(lost: readonly string[]): string[] {
  const others = lost.filter((key) => !key.startsWith(BLOCKS));
  return [...lost.filter((key) => key.startsWith(BLOCKS)), ...others.slice(0, MOST_LOST)];
}

/** In order; undefined when this process did not give the cursor, or so many changed that all may as well be read. */
function changedKeys(directory: OperationDeps['directory'], since: string): string[] | undefined {
  const keys = directory.changedSince(since)?.sort(order);
  const bytes = keys?.reduce((sum, key) => sum + Buffer.byteLength(key) + 3, 0) ?? 0;
  return bytes > CHANGED_BYTES ? undefined : keys;
}

/** The records after a key, as many as fit, and the last key where there are more. `entries` are in the order of keys. */
function pageAfter(entries: Entries, after: string | undefined) {
  const page: { key: string; json: string }[] = [];
  let bytes = 0;
  for (let at = after === undefined ? 0 : firstAfter(entries, after); at < entries.length; at++) {
    const { key, value } = entries[at] as Entries[number];
    const json = JSON.stringify(value);
    bytes += Buffer.byteLength(json) + Buffer.byteLength(key);
    if (page.length > 0 && bytes > PAGE_BYTES) return { page, next: page.at(-1)?.key };
    page.push({ key, json });
  }
  return { page, next: undefined };
}

/** Index of the first entry behind a key. */
function firstAfter(entries: Entries, key: string): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle] as Entries[number]).key > key) high = middle;
    else low = middle + 1;
  }
  return low;
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

type OfKind<Kind extends DirectoryKind> = { kind: Kind; after: string | undefined };

/** The records of a kind after a key, as what `shown` makes of them, and the last key where there are more. */
export function pageOfKind<Kind extends DirectoryKind, T>(
  directory: Pick<OperationDeps['directory'], 'entries'>,
  { kind, after }: OfKind<Kind>,
  shown: (record: RecordOf<Kind>) => T,
): { values: T[]; next: string | undefined } {
  const all = directory.entries();
  const start = directoryKey(kind, '');
  const values: T[] = [];
  let bytes = 0;
  for (let at = firstAfter(all, after ?? start); at < all.length; at++) {
    const { key, value } = all[at] as Entries[number];
    if (!key.startsWith(start)) break;
    const made = shown(value as RecordOf<Kind>);
    bytes += Buffer.byteLength(JSON.stringify(made));
    if (values.length === ENTRIES || (values.length > 0 && bytes > PAGE_BYTES)) {
      return { values, next: (all[at - 1] as Entries[number]).key };
    }
    values.push(made);
  }
  return { values, next: undefined };
}

export const entryList: Operation<'entry-list'> = ({ directory, settings }, { kind, after }) => {
  const { values: entries, next } = pageOfKind(directory, { kind, after }, entryOf);
  const { name: node } = settings.current.node;
  return { node, entries, ...behindOf(directory), ...(next === undefined ? {} : { next }) };
};

export const entryShow: Operation<'entry-show'> = ({ directory, settings }, { kind, name }) => {
  const found = directory.get(directoryKey(kind, nameOf(kind, name)));
  if (found === undefined) throw missing(kind, name);
  return { node: settings.current.node.name, entry: entryOf(found.value as RecordOf<EntryKind>) };
};
