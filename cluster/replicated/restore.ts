import type { z } from 'zod';
import { errorText } from '#shared/errors.ts';
import { parseHistory, parseRecord, type RecordHistory, type ReplicatedRecord, writeIdOf } from './record.ts';
import type { ReplicatedRecords } from './records.ts';
import { implausible, refuseStored, type Seal } from './seal.ts';

/**
 * Records in a backup: all that a map has, tombstones among them, and what a record of a backup is worth where the map
 * has gone on since.
 */

/** Records as JSON, in the order of their keys; `next`: the `after` of the page that follows. */
export type RecordPage = { records: string[]; next: string | undefined };

/** Those after a key, as many as fit into so many bytes; one at least. What only a newer Sealpost can read is among them. */
export function recordPage(records: ReplicatedRecords<unknown>, after: string | undefined, bytes: number): RecordPage {
  const unreadable = records.unreadableKeys();
  const held = records.keys();
  const all = unreadable.length === 0 ? held : [...new Set([...held, ...unreadable])].sort();
  const page: string[] = [];
  let size = 0;
  let last: string | undefined;
  for (let at = after === undefined ? 0 : firstAfter(all, after); at < all.length; at++) {
    const key = all[at] as string;
    const json = (records.unreadable(key) ?? records.get(key))?.json ?? '';
    size += Buffer.byteLength(json);
    if (page.length > 0 && size > bytes) return { records: page, next: last };
    page.push(json);
    last = key;
  }
  return { records: page, next: undefined };
}

/** Index of the first key behind another one. */
function firstAfter(keys: readonly string[], key: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) > key) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * How a record of a backup stands to the one that is held, a tombstone included:
 *
 *   missing   nothing is held
 *   newer     it comes from the one that is held: what is held was lost and came back old
 *   same      it is the one that is held
 *   older     the one that is held has a higher version
 *   differs   neither is known to come from the other: what is held was begun anew, or changes were lost between them
 *
 * Only what is missing or newer may be restored: nothing that a living cluster has is given up for a backup.
 */
export type Standing = 'missing' | 'newer' | 'same' | 'older' | 'differs';

export function standing(held: RecordHistory | undefined, record: RecordHistory): Standing {
  if (held === undefined) return 'missing';
  if (record.version === held.version) return record.writeId === held.writeId ? 'same' : 'differs';
  if (record.version > held.version) return writeIdOf(record, held.version) === held.writeId ? 'newer' : 'differs';
  const known = writeIdOf(held, record.version);
  return known === undefined || known === record.writeId ? 'older' : 'differs';
}

/** Whether a record that stands so may be restored. */
export function isRestorable(found: Standing): found is 'missing' | 'newer' {
  return found === 'missing' || found === 'newer';
}

/** What became of a record of a backup: how it stood, or why it was refused. */
export type Restored = { key: string } & ({ standing: Standing } | { refused: string });

/** How a record of a backup stands to what a map holds, and the record itself where it may be restored. */
export function findRestorable<T>(
  { schema, records, seal }: { schema: z.ZodType<T>; records: ReplicatedRecords<T>; seal?: Seal | undefined },
  json: string,
): Restored & { record?: ReplicatedRecord<T> } {
  let key = '?';
  try {
    key = parseHistory(json).key;
    const parsed = parseRecord(schema, json);
    if ('unreadable' in parsed) return { key, refused: `a newer Sealpost wrote it: ${parsed.unreadable.problem}` };
    const { record } = parsed;
    const held = records.get(key);
    const refused = implausible(record.version, held?.version ?? 0) ?? refuseStored(seal, record);
    if (refused !== undefined) return { key, refused };
    if (records.unreadable(key) !== undefined) return { key, refused: 'the one that is held is of a newer Sealpost' };
    const found = standing(held, record);
    return isRestorable(found) ? { key, standing: found, record } : { key, standing: found };
  } catch (error) {
    return { key, refused: `it is not a record: ${errorText(error)}` };
  }
}
