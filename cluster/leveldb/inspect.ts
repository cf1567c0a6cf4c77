import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '#shared/errors.ts';
import { type Current, inspectCurrent, readCurrent } from './current.ts';
import { type FileList, parseFileList } from './file-list.ts';
import { type LogContent, readLog } from './log-format.ts';

/**
 * What is wrong with the files of a LevelDB before it is opened. LevelDB itself drops what it cannot read of a log, and
 * removes the log; and it takes a table that is too short for one that it cannot read right now.
 */

/** `size`: what the table should have, in bytes. */
export type Inspection = {
  current: Current;
  logs: { file: string; content: LogContent }[];
  tables: { file: string; size: number; found: number | undefined }[];
};

export async function inspect(folder: string): Promise<Inspection> {
  const current = await inspectCurrent(folder);
  const list = await readList(folder, current);
  const files = await readdir(folder);
  const logs = files.filter((file) => /^\d+\.log$/.test(file) && Number.parseInt(file, 10) >= (list?.firstLog ?? 0));
  return {
    current,
    logs: await damagedLogs(
      folder,
      logs.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)),
    ),
    tables: list === undefined ? [] : await damagedTables(folder, list),
  };
}

export function isSound({ current, logs, tables }: Inspection): boolean {
  return current === 'right' && logs.length === 0 && tables.length === 0;
}

/** Undefined where there is none, or where it is damaged: then LevelDB does not open. */
async function readList(folder: string, current: Current): Promise<FileList | undefined> {
  const name = current === 'right' ? await readCurrent(folder) : 'adopt' in current ? current.adopt : undefined;
  return name === undefined ? undefined : parseFileList(await readFile(join(folder, name)));
}

async function damagedLogs(folder: string, files: readonly string[]): Promise<Inspection['logs']> {
  const contents: Inspection['logs'] = [];
  for (const file of files) contents.push({ file, content: readLog(await readFile(join(folder, file))) });
  // Where a write stopped halfway, because of a full disk or a crash, nothing was written after it: an opening that
  // failed too has left no more than empty logs.
  const isUsed = ({ content }: Inspection['logs'][number]): boolean => content.records.length > 0;
  for (const { content } of contents.slice(0, Math.max(0, contents.findLastIndex(isUsed)))) {
    if (content.unfinished.length === 0) continue;
    content.sound = false;
    content.lost.push(...content.unfinished);
  }
  return contents.filter(({ content }) => !content.sound);
}

async function damagedTables(folder: string, { tables }: FileList): Promise<Inspection['tables']> {
  const damaged: Inspection['tables'] = [];
  for (const [number, size] of tables) {
    const file = `${String(number).padStart(6, '0')}.ldb`;
    const found = await sizeOf(join(folder, file));
    if (found !== size) damaged.push({ file, size, found });
  }
  return damaged;
}

/** Tables that the list does not have: of a compaction that was never finished, or that a later one replaced. */
export async function unlistedTables(folder: string): Promise<string[]> {
  const list = await readList(folder, await inspectCurrent(folder));
  if (list === undefined) return [];
  const tables = (await readdir(folder)).filter((file) => /^\d+\.ldb$/.test(file));
  return tables.filter((file) => !list.tables.has(Number.parseInt(file, 10)));
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  }
}
