import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Block, type Page, parsePage } from './markdown.ts';
import { ROOT } from './pages.ts';

/**
 * The commands of the documents, as a reader finds them in their blocks of shell. A test that takes its commands from here
 * fails when the document says another one, or none.
 */
export class DocumentedCommands {
  readonly #pages: ReadonlyMap<string, Page>;

  private constructor(pages: ReadonlyMap<string, Page>) {
    this.#pages = pages;
  }

  static async read(): Promise<DocumentedCommands> {
    const files = globSync('docs/**/*.md', { cwd: ROOT });
    const pages = files.map(async (file) => [file, parsePage(await readFile(join(ROOT, file), 'utf8'))] as const);
    return new DocumentedCommands(new Map(await Promise.all(pages)));
  }

  /**
   * The command of a page that is these words, or else the only one that has them in it. `own`: what the reader has in the place of something that the
   * page says, such as the name of a domain.
   */
  find(page: string, words: string, own: Readonly<Record<string, string>> = {}): string {
    const command = theOnly(commandsOf(this.#blocks(page)), page, words);
    return Object.entries(own).reduce((text, [theirs, ours]) => {
      if (!text.includes(theirs)) throw new Error(`the command “${command}” of ${page} has no “${theirs}”`);
      return text.replaceAll(theirs, ours);
    }, command);
  }

  /** The one block of YAML of a page that has these words in it. */
  yaml(page: string, words: string): string {
    const blocks = this.#blocks(page).filter(({ language }) => language === 'yaml');
    return theOnly(
      blocks.map(({ text }) => text),
      page,
      words,
    );
  }

  #blocks(page: string): readonly Block[] {
    return this.#pages.get(page)?.blocks ?? [];
  }
}

function theOnly(texts: readonly string[], page: string, words: string): string {
  const found = [...new Set(texts.filter((text) => text.includes(words)))];
  const first = found.find((text) => text === words) ?? found[0];
  if (first === undefined) throw new Error(`${page} has nothing with “${words}”`);
  if (found.length > 1 && first !== words)
    throw new Error(`${page} has ${found.length} with “${words}”:\n${found.join('\n')}`);
  return first;
}

/** Lines that end in a backslash go on in the next one; what stands after ` #` is a remark. */
export function commandsOf(blocks: readonly Block[]): string[] {
  return blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.replace(/\s*\\\n\s*/g, ' ').split('\n'))
    .map((line) => line.replace(/(?:^|\s+)# .*$/, '').trim())
    .filter((line) => line !== '');
}
