import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { unreadable } from '#cluster/config/secrets.ts';
import { SealpostError } from '#shared/errors.ts';
import { readTextFile } from '../text-file.ts';

/**
 * The folder `config` of a Haraka, and its three kinds of files, as the reader of Haraka (haraka-config) takes them: `ini`,
 * lists with a value on each line, and files with one value.
 */

/** A line of an ini file. `key[]=value` adds to a list; a key without `=` has no value. `place`: `smtp.ini:3`. */
export type IniEntry = { place: string; section: string; key: string; value: string; list: boolean };

/** A line of a list, or the value of a file that has one. */
export type Line = { place: string; text: string };

const SECTION = /^\s*\[([^\]]*)\]\s*$/;
const ENTRY = /^\s*([\w@:._+\-/[\]]+)\s*(?:=\s*(.*?)\s*)?$/;
const IGNORED = /^\s*(?:[;#].*)?$/;

/** What Haraka takes for a yes. */
export const isTrue = (value: string): boolean => /^(?:true|yes|ok|enabled|on|1)$/i.test(value);

export class Ini {
  readonly entries: readonly IniEntry[];
  /** Lines that Haraka cannot read. */
  readonly stray: readonly Line[];

  constructor(entries: readonly IniEntry[], stray: readonly Line[]) {
    this.entries = entries;
    this.stray = stray;
  }

  /** The last value of a key, as Haraka takes it; undefined where there is none, or an empty one. */
  text(key: string, section = 'main'): string | undefined {
    const value = this.entries.findLast((e) => e.section === section && e.key === key && !e.list)?.value;
    return value === '' ? undefined : value;
  }

  /** All values of `key[]`, or of a key with values between commas. */
  list(key: string, section = 'main'): string[] {
    return this.entries
      .filter((e) => e.section === section && e.key === key)
      .flatMap(({ value, list }) => (list ? [value] : value.split(',')))
      .map((value) => value.trim())
      .filter((value) => value !== '');
  }

  /** `fallback` where the key is not there. */
  yes(key: string, fallback: boolean, section = 'main'): boolean {
    const found = this.entries.findLast((e) => e.section === section && e.key === key);
    return found === undefined ? fallback : isTrue(found.value);
  }

  /** Sections in their order, `main` apart. */
  get sections(): string[] {
    return [...new Set(this.entries.map(({ section }) => section))].filter((name) => name !== 'main');
  }
}

export function parseIni(text: string, file: string): Ini {
  const entries: IniEntry[] = [];
  const stray: Line[] = [];
  let section = 'main';
  let before = '';
  for (const [i, content] of text.split(/\r\n|\r|\n/).entries()) {
    if (IGNORED.test(content)) continue;
    const place = `${file}:${i + 1}`;
    const title = SECTION.exec(content)?.[1];
    if (title !== undefined) {
      section = title.trim();
      // A section says something by being there: smtp_forward.ini names domains so.
      entries.push({ place, section, key: '', value: '', list: false });
      continue;
    }
    if (/\\[ \t]*$/.test(content)) {
      before += content.replace(/\\[ \t]*$/, '');
      continue;
    }
    const line = before + content;
    before = '';
    const [, name, value = ''] = ENTRY.exec(line) ?? [];
    if (name === undefined) stray.push({ place, text: line.trim() });
    else entries.push({ place, section, key: name.replace(/\[\]$/, ''), value, list: name.endsWith('[]') });
  }
  return new Ini(entries, stray);
}

export class HarakaFolder {
  readonly path: string;
  readonly #names: readonly string[];
  readonly #read = new Set<string>();
  readonly #inis = new Map<string, Ini>();

  private constructor(path: string, names: readonly string[]) {
    this.path = path;
    this.#names = names;
  }

  /** The folder itself, or that of the installation that it lies in. Fails with `file-unreadable`. */
  static async open(given: string): Promise<HarakaFolder> {
    for (const path of [resolve(given, 'config'), resolve(given)]) {
      if (existsSync(join(path, 'plugins'))) return new HarakaFolder(path, await namesIn(path));
    }
    // Whether it is there at all, said in the words of the system.
    await namesIn(resolve(given));
    throw new SealpostError(
      'file-unreadable',
      `${given} has no file "plugins": name the folder config of a Haraka, or the one that it lies in`,
    );
  }

  has(name: string): boolean {
    return this.#names.includes(name);
  }

  /** Empty where there is no such file. */
  async ini(name: string): Promise<Ini> {
    const known = this.#inis.get(name);
    if (known !== undefined) return known;
    const ini = parseIni((await this.text(name)) ?? '', name);
    this.#inis.set(name, ini);
    return ini;
  }

  /** Lines without comments and blank ones. */
  async lines(name: string): Promise<Line[]> {
    const text = (await this.text(name)) ?? '';
    return text
      .split(/\r\n|\r|\n/)
      .map((line, i) => ({ place: `${name}:${i + 1}`, text: line.trim() }))
      .filter((line) => !IGNORED.test(line.text));
  }

  async value(name: string): Promise<Line | undefined> {
    return (await this.lines(name))[0];
  }

  /** Undefined where there is no such file. */
  async text(name: string): Promise<string | undefined> {
    if (!this.has(name)) return undefined;
    this.#read.add(name);
    return readTextFile(join(this.path, name));
  }

  /** The text of a file below it: `dkim/example.com/selector`. Undefined where there is none. */
  async below(name: string): Promise<string | undefined> {
    const path = join(this.path, name);
    return existsSync(path) && isFile(path) ? readTextFile(path) : undefined;
  }

  /** A file that Haraka names, from this folder on. */
  locate(name: string): string {
    return resolve(this.path, name);
  }

  /** Files that nothing has asked for. */
  unread(): string[] {
    return this.#names.filter((name) => !this.#read.has(name) && isFile(join(this.path, name)));
  }

  /** Names of the folders in a folder of it, in order. */
  async folders(name: string): Promise<string[]> {
    if (!this.has(name)) return [];
    const path = join(this.path, name);
    if (isFile(path)) return [];
    return (await namesIn(path)).filter((entry) => !isFile(join(path, entry)));
  }
}

const isFile = (path: string): boolean => !(statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false);

async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    throw new SealpostError('file-unreadable', unreadable(path, error));
  }
}
