import { open, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '#shared/errors.ts';
import { syncFolder } from '#shared/files/folder.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { salvage } from './batches.ts';
import { keepDamaged, lostFolder, recordDamage } from './damage.ts';
import type { Inspection } from './inspect.ts';
import { writeLog } from './log-format.ts';
import { readTable } from './table.ts';

/** Makes the files of a damaged LevelDB ones that it opens; what was damaged is kept and recorded (damage.ts). */

/** Lines of LevelDB's LOG that one record repeats. */
const MOST_LINES = 20;
/** For tables that are copied, and lists. */
const SPARE_BYTES = 8 * 1024 * 1024;

/** Write a damaged log anew, with all in it that can be read. */
export async function mendLog(
  folder: string,
  { file, content }: Inspection['logs'][number],
  names: RegExp | undefined,
): Promise<string> {
  const { batches, damaged, lost, missing } = salvage(content);
  const lostBytes = lost.reduce((sum, part) => sum + part.length, 0);
  const kept = await keepDamaged(folder, file);
  const what = `the log ${kept} is damaged: ${damaged} of ${content.records.length} commits have a wrong checksum, ${missing} changes are missing`;
  await recordDamage(folder, { what, lost, lostBytes, names });
  await replaceFile(join(folder, file), writeLog(batches));
  return what;
}

/** LevelDB's repair moves a log away also where a full disk kept it from writing what the log has. */
export async function assertRoom(folder: string): Promise<void> {
  let needed = SPARE_BYTES;
  for (const file of await readdir(folder)) {
    if (/^\d+\.log$/.test(file)) needed += 2 * (await stat(join(folder, file))).size;
  }
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= needed) return;
  throw new Error(`No space left on device: a repair of ${folder} needs ${needed} bytes, ${bavail * bsize} are free`);
}

/** LevelDB's repair syncs nothing. */
export async function syncFiles(folder: string): Promise<void> {
  for (const file of await readdir(folder)) {
    if (!/^(MANIFEST-\d+|CURRENT|\d+\.(ldb|log))$/.test(file)) continue;
    await using handle = await open(join(folder, file), 'r');
    await handle.sync();
  }
  await syncFolder(folder);
}

type Lost = { bytes: Buffer[]; count: number };

/**
 * Run a repair, which moves what it cannot read to `lost/`, and record what that is. LevelDB's LOG has its words.
 * Fails as the repair does.
 */
export async function mendTables(
  folder: string,
  reason: string,
  { repair, tables, names }: { repair: () => Promise<void>; tables: Inspection['tables']; names: RegExp | undefined },
): Promise<string> {
  const lost: Lost = { bytes: [], count: 0 };
  for (const table of tables) await salvageTable(folder, table, lost);
  const began = Date.now();
  await repair();
  const known = new Set(tables.map(({ file }) => file));
  const others = (await tablesIn(lostFolder(folder))).filter((file) => !known.has(file));
  const moved: string[] = [];
  for (const file of others) if (await addMoved(folder, file, began, lost)) moved.push(file);
  const words = [
    `the store was damaged (${reason}) and repaired`,
    ...(moved.length === 0 ? [] : [`not all of ${moved.join(', ')} could be read`]),
    'deleted entries may be back',
    ...(await saidByLevelDb(folder)),
  ];
  const what = words.join('; ');
  await recordDamage(folder, { what, lost: lost.bytes, lostBytes: lost.count, names });
  return what;
}

/** What can be read of a table that was cut off goes into a log of its own, which the repair reads too. */
async function salvageTable(folder: string, { file, size }: Inspection['tables'][number], lost: Lost): Promise<void> {
  const bytes = await readFile(join(folder, file)).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
    return Buffer.alloc(0);
  });
  const { batches, end } = readTable(bytes);
  lost.bytes.push(bytes.subarray(end));
  lost.count += Math.max(0, size - end);
  if (batches.length === 0) return;
  const numbers = (await readdir(folder)).map((name) => Number(/\d+/.exec(name)?.[0] ?? 0));
  const log = `${String(Math.max(...numbers) + 1).padStart(6, '0')}.log`;
  await replaceFile(join(folder, log), writeLog(batches));
}

/** Count what a repair lost of a table that it moved, unless an earlier one did. */
async function addMoved(folder: string, file: string, began: number, lost: Lost): Promise<boolean> {
  const path = join(lostFolder(folder), file);
  if ((await stat(path)).ctimeMs < began) return false;
  const bytes = await readFile(path);
  lost.bytes.push(bytes);
  const left = await stat(join(folder, file)).catch(() => undefined);
  lost.count += Math.max(0, bytes.length - (left?.size ?? 0));
  return true;
}

async function saidByLevelDb(folder: string): Promise<string[]> {
  const lines = (await readFile(join(folder, 'LOG'), 'utf8').catch(() => '')).split('\n');
  return lines
    .filter((line) => /dropp|ignoring|Corruption|IO error|repaired/.test(line))
    .map((line) => line.replace(/^\S+ \S+ /, ''))
    .slice(0, MOST_LINES);
}

async function tablesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter((file) => file.endsWith('.ldb'));
}
