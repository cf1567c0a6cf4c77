import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '#shared/files/replace.ts';
import { salvage } from './batches.ts';
import { keepDamaged, lostFolder, recordDamage } from './damage.ts';
import type { Inspection } from './inspect.ts';
import { writeLog } from './log-format.ts';

/** Makes the files of a damaged LevelDB ones that it opens; what was damaged is kept and recorded (damage.ts). */

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

/**
 * Run a repair, which moves what it cannot read to `lost/`, and record what that is. LevelDB's LOG has its words.
 * Fails as the repair does.
 */
export async function mendTables(
  folder: string,
  reason: string,
  { repair, tables, names }: { repair: () => Promise<void>; tables: Inspection['tables']; names: RegExp | undefined },
): Promise<string> {
  const before = new Set(await tablesIn(lostFolder(folder)));
  const began = Date.now();
  await repair();
  const lost: Buffer[] = [];
  let lostBytes = 0;
  const sizes = new Map(tables.map(({ file, size }) => [file, size]));
  for (const file of await tablesIn(lostFolder(folder))) {
    const path = join(lostFolder(folder), file);
    if (before.has(file) && (await stat(path)).ctimeMs < began) continue;
    const bytes = await readFile(path);
    lost.push(bytes);
    if (!sizes.has(file)) sizes.set(file, bytes.length);
  }
  for (const [file, size] of sizes) {
    const left = await stat(join(folder, file)).catch(() => undefined);
    lostBytes += Math.max(0, size - (left?.size ?? 0));
  }
  const said = (await readFile(join(folder, 'LOG'), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => /dropp|ignoring|Corruption|IO error|repaired/.test(line))
    .map((line) => line.replace(/^\S+ \S+ /, ''));
  const files = [...sizes.keys()];
  const what = [
    `the store was damaged (${reason}) and repaired: ${files.length === 0 ? 'every table' : `all but ${files.join(', ')}`} could be read; deleted entries may be back`,
    ...said.slice(0, 20),
  ].join('; ');
  await recordDamage(folder, { what, lost, lostBytes, names });
  return what;
}

async function tablesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter((file) => file.endsWith('.ldb'));
}
