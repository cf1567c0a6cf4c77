import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, mock, test } from 'node:test';
import { pathToFileURL } from 'node:url';

/**
 * Many files of tests in a few processes: a process for each file spends most of its time on loading the same modules
 * again. Each process takes a share of the files, one after another: a file is loaded when the one before it has ended,
 * as a test that holds the tests of the file. So what a file does to the whole process (a clock that stands still, a
 * hook at its top) lasts as long as the file.
 */

/** Write `count` files of tests into `folder`, each a share of `files`; resolves to their paths. */
export async function writeShares(files: string[], count: number, folder: string): Promise<string[]> {
  const shares = Array.from({ length: Math.min(count, files.length) }, (_, n) => ({
    path: join(folder, `share-${n + 1}.mjs`),
    files: files.filter((_, i) => i % count === n),
  }));
  for (const share of shares) {
    const list = JSON.stringify(share.files, undefined, 2);
    const text = `import { runFiles } from ${JSON.stringify(import.meta.url)};\nrunFiles(${list});\n`;
    await writeFile(share.path, text);
  }
  return shares.map(({ path }) => path);
}

/** How long what the tests left behind may need to close by itself. */
const CLOSING_MS = 5000;

/** Run the files in this process. It fails when it ends before all of them, and when something keeps it from ending. */
export function runFiles(files: string[]): void {
  const waiting = new Set(files.map((file) => relative(process.cwd(), file)));
  const open = new OpenResources();
  process.on('exit', () => {
    if (waiting.size === 0) return;
    process.stderr.write(`the process ended before the tests of ${[...waiting].join(', ')}\n`);
    process.exitCode = 1;
  });
  for (const name of [...waiting]) {
    test(name, async (t) => {
      t.after(() => {
        mock.reset();
        waiting.delete(name);
        open.look(name);
      });
      await import(pathToFileURL(name).href);
    });
  }
  after(() => {
    const end = (): never => {
      process.stderr.write(`tests left something open: ${open.describe()}\n`);
      process.exit(1);
    };
    setTimeout(end, CLOSING_MS).unref();
  });
}

/** What keeps this process from ending, and after which file there was more of it. */
class OpenResources {
  #counts = new Map<string, number>();
  #since = new Map<string, string>();

  look(file: string): void {
    const counts = new Map<string, number>();
    for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    for (const [kind, count] of counts) if (count > (this.#counts.get(kind) ?? 0)) this.#since.set(kind, file);
    this.#counts = counts;
  }

  describe(): string {
    const kinds = new Set(process.getActiveResourcesInfo());
    return [...kinds].map((kind) => `${kind}, last one more after ${this.#since.get(kind) ?? 'all files'}`).join('; ');
  }
}
