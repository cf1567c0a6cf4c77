import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { parsePage } from '#test/kit/docs/markdown.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import type { Answer, Machine } from './machine.ts';

/**
 * A guide that is followed to the letter: the commands in its code blocks run on a machine, in their order, and sections of
 * a configuration are put into its sealpost.yaml, as a reader would with an editor.
 */

const CONFIG = '/etc/sealpost/sealpost.yaml';

/** What a test does around a block, and how many of them it follows; all by default. */
export type Reader = {
  most?: number;
  before?(text: string): Promise<void>;
  after?(text: string, printed: string): Promise<void>;
  /** What is typed while the commands of a block run. */
  answers?(text: string): readonly Answer[];
};

/** What each block printed, by its number from 0; blocks of YAML print nothing. */
export async function follow(
  machine: Machine,
  file: string,
  { most = Number.POSITIVE_INFINITY, before, after, answers }: Reader = {},
): Promise<string[]> {
  const printed: string[] = [];
  for (const { language, text, line } of parsePage(await readFile(join(ROOT, file), 'utf8')).blocks.slice(0, most)) {
    await before?.(text);
    if (language === 'yaml') printed.push(await edit(machine, text));
    else if (language === 'sh') {
      const { code, stdout, stderr } = await machine.shell(runnable(text), answers?.(text));
      if (code !== 0) throw new Error(`${file}:${line}: exit code ${code} of\n${text}\n${stdout}\n${stderr}`);
      printed.push(stdout);
    } else throw new Error(`${file}:${line}: nobody can follow a block of ${language || 'no language'}`);
    await after?.(text, printed.at(-1) ?? '');
  }
  return printed;
}

/** Put sections into the configuration, in place of those that are there; where there is none, they are it. */
async function edit(machine: Machine, sections: string): Promise<string> {
  const there = (await machine.shell(`test -e ${CONFIG}`)).code === 0;
  const config = there ? (parse(await machine.read(CONFIG)) as object) : undefined;
  const text = config === undefined ? sections : stringify({ ...config, ...(parse(sections) as object) });
  await machine.write(CONFIG, text);
  return '';
}

/** What "One machine" says of the installation. */
export async function install(machine: Machine): Promise<void> {
  await follow(machine, 'docs/install/one-machine.md', { most: 1 });
}

/**
 * Without the clone, which is there, and without what never ends. No test has a certificate of a public authority, so that `tls
 * check` has something to say.
 */
const runnable = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !/^(?:git clone |journalctl .* -f\b)/.test(line))
    .map((line) => line.replace(/^sealpost tls check\b/, '$& || test $? = 1'))
    .join('\n');
