import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { syncFolder } from '#shared/files/folder.ts';

/**
 * The log file that commits go to, and whether its name is on disk.
 *
 * LevelDB syncs the bytes of a commit. When a log is full it begins another one, and does not sync the folder: on a file
 * system that keeps no more than POSIX promises, a power cut then takes the new log with all that was committed into it.
 *
 * A commit is appended to one log, the newest. So where the log known here grew, the commit is in it, under a name that
 * was synced: one `stat` per group commit. Where it did not, there is a newer one.
 */
export class CommitLog {
  readonly #folder: string;
  #file: string | undefined;
  #size = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Call it after each synced commit: resolves when the name of the file that has it is on disk too. Fails as the
   * system does.
   */
  async settle(): Promise<void> {
    const size = this.#sizeOf(this.#file);
    if (size > this.#size) {
      this.#size = size;
      return;
    }
    const newest = readdirSync(this.#folder)
      .filter((file) => /^\d+\.log$/.test(file))
      .reduce<string | undefined>(
        (a, b) => (a !== undefined && Number.parseInt(a, 10) > Number.parseInt(b, 10) ? a : b),
        undefined,
      );
    const written = this.#sizeOf(newest);
    await syncFolder(this.#folder);
    this.#file = newest;
    this.#size = written;
  }

  #sizeOf(file: string | undefined): number {
    if (file === undefined) return 0;
    return statSync(join(this.#folder, file), { throwIfNoEntry: false })?.size ?? 0;
  }
}
