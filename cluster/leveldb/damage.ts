import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, errorText } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { MOST_NAMES, StoreDamage } from '#shared/store-damage.ts';

/**
 * What a store lost, on disk beside it in `lost/`: the files that were damaged, as they were found, and one `.json` for
 * each time that it was mended. It is told until an operator moves or deletes the folder.
 */

export function lostFolder(folder: string): string {
  return join(folder, 'lost');
}

/** `lost`: what could not be read. `names`: finds in it, as its first group, whom it was about. */
export async function recordDamage(
  folder: string,
  { what, lost, lostBytes, names }: { what: string; lost: Buffer[]; lostBytes: number; names: RegExp | undefined },
): Promise<StoreDamage> {
  const at = Date.now();
  const found = names === undefined ? new Set<string>() : namesIn(lost, names);
  const damage: StoreDamage = {
    ...{ at, what, lostBytes, names: [...found].slice(0, MOST_NAMES) },
    ...{ more: Math.max(0, found.size - MOST_NAMES), folder: lostFolder(folder) },
  };
  await makeFolder(lostFolder(folder));
  await replaceFile(join(lostFolder(folder), `${stamp(at)}.json`), `${JSON.stringify(damage, undefined, 2)}\n`);
  return damage;
}

/** What was recorded, oldest first. */
export async function readDamage(folder: string): Promise<StoreDamage[]> {
  const files = await readdir(lostFolder(folder)).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  const records = files.filter((file) => /^\d.*\.json$/.test(file)).sort();
  return Promise.all(records.map((file) => readRecord(folder, file)));
}

async function readRecord(folder: string, file: string): Promise<StoreDamage> {
  try {
    return StoreDamage.parse(JSON.parse(await readFile(join(lostFolder(folder), file), 'utf8')));
  } catch (error) {
    const what = `the store was mended; the record of it, ${file}, cannot be read: ${errorText(error)}`;
    return { at: 0, what, lostBytes: 0, names: [], more: 0, folder: lostFolder(folder) };
  }
}

/** Keep a file as it is; answers the name that it has in `lost/`. */
export async function keepDamaged(folder: string, file: string): Promise<string> {
  const name = `${stamp(Date.now())}-${file}`;
  await makeFolder(lostFolder(folder));
  await copyFile(join(folder, file), join(lostFolder(folder), name));
  return name;
}

function namesIn(lost: readonly Buffer[], pattern: RegExp): Set<string> {
  const found = new Set<string>();
  for (const bytes of lost) {
    for (const match of bytes.toString('latin1').matchAll(pattern)) if (match[1] !== undefined) found.add(match[1]);
  }
  return found;
}

function stamp(at: number): string {
  return new Date(at).toISOString().replaceAll(/[-:.]/g, '');
}
