import { basename, dirname, resolve } from 'node:path';
import { SealpostError } from '#shared/errors.ts';
import { type Row, readTextFile, tableRows } from './text-file.ts';

/**
 * A data set of OpenDKIM (opendkim(8), "DATA SETS"): `file:` and `refile:` name a file of names and values apart by
 * white space, `csl:` is `name=value,name=value`; a bare path is a file. The other kinds are databases and programs,
 * which are not read.
 */
export type Table = {
  rows: Row[];
  /** What relative paths in it start from. */
  folder: string;
};

/** Read a data set. Fails with `file-unreadable` or `not-taken`. `option` names it in errors. */
export async function readTable(spec: string, option: string): Promise<Table> {
  const [, kind = '', rest = spec] = /^([A-Za-z]+):(.*)$/s.exec(spec) ?? [];
  switch (kind.toLowerCase()) {
    case 'csl':
      return { rows: listRows(rest, option), folder: process.cwd() };
    case 'file':
    case 'refile':
    case '':
      break;
    default:
      throw notTaken(`${option} ${kind}: is a database or a program, which is not read`);
  }
  if (rest.endsWith('.db')) throw notTaken(`${option} ${rest} is a Berkeley DB, which is not read`);
  const file = resolve(rest);
  return { rows: tableRows(await readTextFile(file), basename(file)), folder: dirname(file) };
}

function listRows(list: string, option: string): Row[] {
  return list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
    .map((item, i) => {
      const equals = item.indexOf('=');
      const name = equals < 0 ? item : item.slice(0, equals);
      const value = equals < 0 ? '' : item.slice(equals + 1);
      return { place: `${option}:${i + 1}`, name: name.trim(), value: value.trim() };
    });
}

function notTaken(text: string): SealpostError {
  return new SealpostError('not-taken', `${text}: write its content into a file, "name value" on each line`);
}
