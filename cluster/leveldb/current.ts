import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { readLog } from './log-format.ts';

/**
 * Which list of files (MANIFEST) a LevelDB goes by. The file CURRENT names it.
 *
 * At each opening LevelDB writes a new list, syncs it, renames a new CURRENT into place, and removes the list and the
 * logs before it, without a sync of the folder in between. After a power cut the removals can be on disk and the rename
 * not: then CURRENT names a list that is gone, or, worse, one that is there and knows nothing of the table that those
 * logs went into. So a newer list that is complete is the one to go by. One that is not complete was never named, and
 * what it would have replaced is still there.
 */

/** A list of files begins with two records: all that there was, and what the opening changed. */
const COMPLETE = 2;

/** `right`: CURRENT is as it should be. `adopt`: it should name this list. `damaged`: for this reason there is none. */
export type Current = 'right' | { adopt: string } | { damaged: string };

export async function inspectCurrent(folder: string): Promise<Current> {
  const files = await readdir(folder);
  const named = await readCurrent(folder);
  const newer = files
    .filter((file) => /^MANIFEST-\d+$/.test(file) && numberOf(file) > numberOf(named ?? ''))
    .sort((a, b) => numberOf(b) - numberOf(a))[0];
  if (newer !== undefined && (await isComplete(join(folder, newer)))) return { adopt: newer };
  if (named !== undefined && files.includes(named)) return 'right';
  if (!files.some((file) => file === 'CURRENT' || /^MANIFEST-|\.(ldb|log)$/.test(file))) return 'right';
  return { damaged: named === undefined ? 'its file CURRENT names no list of files' : `its file ${named} is missing` };
}

/** Have CURRENT name this list, synced. */
export async function adopt(folder: string, list: string): Promise<void> {
  await replaceFile(join(folder, 'CURRENT'), `${list}\n`);
}

/** The list that CURRENT names; undefined when it names none. */
export async function readCurrent(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, 'CURRENT'), 'latin1').catch((error: unknown) => {
    if (!['ENOENT', 'EISDIR'].includes(errorCode(error) ?? '')) throw error;
    return '';
  });
  return /^(MANIFEST-\d+)\n$/.exec(text)?.[1];
}

function numberOf(list: string): number {
  return Number(/\d+$/.exec(list)?.[0] ?? -1);
}

async function isComplete(list: string): Promise<boolean> {
  const { records, sound } = readLog(await readFile(list));
  return sound && records.length >= COMPLETE;
}
