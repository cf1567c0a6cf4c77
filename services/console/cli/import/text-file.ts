import { readFile } from 'node:fs/promises';
import { unreadable } from '#cluster/config/secrets.ts';
import { SealpostError } from '#shared/errors.ts';

/** The text of a configuration file of another program, without its byte order mark. Fails with `file-unreadable`. */
export async function readTextFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/^\ufeff/, '');
  } catch (error) {
    throw new SealpostError('file-unreadable', unreadable(file, error));
  }
}

/** A line that says something: `place` is where, `SigningTable:3`. */
export type Row = { place: string; name: string; value: string };

/**
 * The lines of a table of names and values apart by white space, as OpenDKIM and rspamd have them: `#` begins a comment
 * anywhere. The value is '' where there is none.
 */
export function tableRows(text: string, file: string): Row[] {
  return text.split('\n').flatMap((line, i) => {
    const [, name, value = ''] = /^(\S+)(?:\s+(.*))?$/s.exec(line.replace(/#.*/s, '').trim()) ?? [];
    return name === undefined ? [] : [{ place: `${file}:${i + 1}`, name, value }];
  });
}
