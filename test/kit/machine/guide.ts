import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { parsePage } from '#test/kit/docs/markdown.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import type { Machine } from './machine.ts';

/**
 * A guide that is followed to the letter: the commands in its code blocks run on a machine, in their order, and sections of
 * a configuration are put into its sealpost.yaml, as a reader would with an editor.
 */

const CONFIG = '/etc/sealpost/sealpost.yaml';

/** What each block printed, by its number from 0; blocks of YAML print nothing. */
export async function follow(
  machine: Machine,
  file: string,
  {
    before,
    after,
  }: { before?: (text: string) => Promise<void>; after?: (text: string, printed: string) => Promise<void> } = {},
): Promise<string[]> {
  const printed: string[] = [];
  for (const { language, text, line } of parsePage(await readFile(join(ROOT, file), 'utf8')).blocks) {
    await before?.(text);
    if (language === 'yaml') printed.push(await edit(machine, text));
    else if (language === 'sh') {
      const { code, stdout, stderr } = await machine.shell(text);
      if (code !== 0) throw new Error(`${file}:${line}: exit code ${code} of\n${text}\n${stdout}\n${stderr}`);
      printed.push(stdout);
    } else throw new Error(`${file}:${line}: nobody can follow a block of ${language || 'no language'}`);
    await after?.(text, printed.at(-1) ?? '');
  }
  return printed;
}

/** Put sections into the configuration: in place of those that are there. */
async function edit(machine: Machine, sections: string): Promise<string> {
  const config = parse(await machine.read(CONFIG)) as object;
  await machine.write(CONFIG, stringify({ ...config, ...(parse(sections) as object) }));
  return '';
}

/** What "One machine" says of the installation; the clone itself is there. */
export async function install(machine: Machine): Promise<void> {
  const page = parsePage(await readFile(join(ROOT, 'docs/install/one-machine.md'), 'utf8'));
  const [block] = page.blocks;
  const lines = (block?.text ?? '').split('\n').filter((line) => !line.startsWith('git clone '));
  if (lines.length < 3) throw new Error('docs/install/one-machine.md does not begin with the installation');
  await machine.must(lines.join('\n'));
}
