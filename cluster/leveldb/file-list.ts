import { readLog } from './log-format.ts';
import { readVarint } from './varint.ts';

/**
 * What a list of files (MANIFEST) says: a log of edits, each a row of fields with a tag. Numbers are varints, strings
 * have their length in front.
 */

/** `tables`: number and size in bytes of each table in use. Logs from `firstLog` on are in use. */
export type FileList = { firstLog: number; tables: Map<number, number> };

/** The fields behind each tag: n a number, s a string. */
const FIELDS: Record<number, string> = {
  1: 's', // name of the comparator
  2: 'n', // first log in use
  3: 'n', // next number of a file
  4: 'n', // last sequence number
  5: 'ns', // where the compaction of a level goes on
  6: 'nn', // table removed: level, number
  7: 'nnnss', // table added: level, number, size, first key, last key
  9: 'n', // earlier log in use
};

/** Undefined where the list is damaged: LevelDB says so itself when it opens it. */
export function parseFileList(bytes: Buffer): FileList | undefined {
  const { records, sound } = readLog(bytes);
  if (!sound) return undefined;
  const list: FileList = { firstLog: 0, tables: new Map() };
  for (const { payload } of records) {
    for (let at = 0; at < payload.length; ) {
      const tag = readVarint(payload, at);
      const fields = FIELDS[tag?.value ?? 0];
      if (tag === undefined || fields === undefined) return undefined;
      at = tag.end;
      const values: number[] = [];
      for (const field of fields) {
        const found = readVarint(payload, at);
        if (found === undefined) return undefined;
        values.push(found.value);
        at = field === 's' ? found.end + found.value : found.end;
      }
      apply(list, tag.value, values);
    }
  }
  return list;
}

function apply(list: FileList, tag: number, [first = 0, second = 0, third = 0]: number[]): void {
  if (tag === 2) list.firstLog = first;
  else if (tag === 6) list.tables.delete(second);
  else if (tag === 7) list.tables.set(second, third);
}
