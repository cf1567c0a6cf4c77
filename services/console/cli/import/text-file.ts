import { readFile } from 'node:fs/promises';
import { unreadable } from '#cluster/config/secrets.ts';
import { SealpostError } from '#shared/errors.ts';

/** The text of a configuration file of another program. Fails with `file-unreadable`. */
export async function readTextFile(file: string): Promise<string> {
  try {
    return decodeText(await readFile(file));
  } catch (error) {
    throw new SealpostError('file-unreadable', unreadable(file, error));
  }
}

/**
 * Text as Windows writes it too: UTF-8 or UTF-16, without its byte order mark. All that is read here begins with ASCII,
 * so a zero among the first two bytes is UTF-16 without a mark.
 */
export function decodeText(bytes: Buffer): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return decodeAs('utf-16le', bytes);
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) return decodeAs('utf-16be', bytes);
  return decodeAs('utf-8', bytes);
}

/** Without its byte order mark. */
const decodeAs = (encoding: string, bytes: Buffer): string => new TextDecoder(encoding).decode(bytes);

/** A line that says something: `place` is where, `SigningTable:3`. */
export type Row = { place: string; name: string; value: string };

/**
 * The lines of a table of names and values apart by white space, as OpenDKIM and rspamd have them: `#` begins a comment
 * anywhere. The value is '' where there is none.
 */
export function tableRows(text: string, file: string): Row[] {
  return text.split('\n').flatMap((line, i) => tableRow(line.replace(/#.*/s, ''), `${file}:${i + 1}`));
}

/** The row of one line, or none. */
export function tableRow(line: string, place: string): Row[] {
  const [, name, value = ''] = /^(\S+)(?:\s+(.*))?$/s.exec(line.trim()) ?? [];
  return name === undefined ? [] : [{ place, name, value }];
}
