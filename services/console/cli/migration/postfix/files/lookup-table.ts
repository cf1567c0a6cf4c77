import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readTextFile } from '../../../import/text-file.ts';
import { logicalLines, unbraced, words } from './main-cf.ts';

/**
 * The lookup tables of Postfix (postmap(5)), from their text: what `hash:/etc/postfix/transport` is made of stands in
 * /etc/postfix/transport. Databases, directories and patterns are not read, and it is said why.
 */

/** A row; `place` is `transport:3`. */
export type TableRow = { place: string; key: string; value: string };
export type LookupTable = { rows: TableRow[] } | { unread: string };

/** Files that `postmap` makes an index of. */
const INDEXED = new Set(['hash', 'btree', 'dbm', 'sdbm', 'lmdb', 'cdb', 'texthash']);
const WHY: Record<string, string> = {
  regexp: 'patterns have no counterpart',
  pcre: 'patterns have no counterpart',
  ldap: 'an LDAP directory is asked as the section directory.ldap says',
};

export class Tables {
  readonly #folder: string;

  /** `folder`: that of main.cf, where files of another machine may have been copied to. */
  constructor(folder: string) {
    // Absolute, as what is found becomes a path in a file that stands elsewhere.
    this.#folder = resolve(folder);
  }

  /** Where a file of main.cf is on this machine: below the folder of main.cf, as it is written, or beside main.cf. */
  locate(path: string): string | undefined {
    const own = path.startsWith('/etc/postfix/') ? join(this.#folder, path.slice('/etc/postfix/'.length)) : undefined;
    const candidates = [own, resolve(this.#folder, path), join(this.#folder, basename(path))];
    return candidates.find((file) => file !== undefined && existsSync(file) && statSync(file).isFile());
  }

  /** A table such as `hash:/etc/postfix/transport`. `separator`: what ends the key; aliases(5) has a colon. */
  async read(spec: string, separator: 'blank' | 'colon' = 'blank'): Promise<LookupTable> {
    const [, kind = 'hash', rest = spec] = /^(\w+):(.*)$/s.exec(spec) ?? [];
    if (kind === 'proxy') return this.read(rest, separator);
    if (kind === 'inline') return { rows: inlineRows(rest) };
    if (INDEXED.has(kind) || kind === 'cidr') return this.#file(rest, separator);
    return { unread: WHY[kind] ?? `${kind}: is a database or a program, which is not read` };
  }

  /** The lines of a list that stands in a file: `/etc/postfix/relay_domains`. */
  async lines(path: string): Promise<string[] | { unread: string }> {
    const file = this.locate(path);
    if (file === undefined) return { unread: `${path} is not on this machine, nor beside main.cf` };
    return logicalLines(await readTextFile(file)).flatMap(({ text }) => words(text));
  }

  async #file(path: string, separator: 'blank' | 'colon'): Promise<LookupTable> {
    const file = this.locate(path);
    if (file === undefined) return { unread: `${path} is not on this machine, nor beside main.cf` };
    const name = basename(file);
    const rows = logicalLines(await readTextFile(file)).map(({ line, text }) => ({
      place: `${name}:${line}`,
      ...keyAndValue(text, separator),
    }));
    return { rows };
  }
}

function keyAndValue(text: string, separator: 'blank' | 'colon'): { key: string; value: string } {
  const pattern =
    separator === 'blank' ? /^("(?:[^"\\]|\\.)*"|\S+)\s*(.*)$/s : /^("(?:[^"\\]|\\.)*"|[^:\s]+)\s*:\s*(.*)$/s;
  const [, key = text, value = ''] = pattern.exec(text) ?? [];
  return { key: key.replace(/^"(.*)"$/s, '$1'), value };
}

/** `inline:{ { key = value }, key=value }`. */
function inlineRows(text: string): TableRow[] {
  return words(unbraced(text)).map((word) => {
    const [, key = '', value = ''] = /^([^=]*?)\s*=\s*(.*)$/s.exec(unbraced(word)) ?? [];
    return { place: 'inline', key, value };
  });
}
