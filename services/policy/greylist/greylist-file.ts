import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { GreylistRecord } from '../contract.ts';

/** A copy of the greylist on disk: a JSON text of one record a line. */

/** The records of the file; none where there is no file. Fails where it cannot be read or is damaged. */
export async function readGreylist(file: string): Promise<GreylistRecord[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => GreylistRecord.parse(JSON.parse(line)));
}

export async function writeGreylist(file: string, records: Iterable<GreylistRecord>): Promise<void> {
  await makeFolder(dirname(file));
  const lines: string[] = [];
  for (const record of records) {
    lines.push(`${JSON.stringify(record)}\n`);
    // Others get their turn: there may be tens of thousands.
    if (lines.length % LINES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await replaceFile(file, lines.join(''));
}

const LINES_A_TURN = 1000;
