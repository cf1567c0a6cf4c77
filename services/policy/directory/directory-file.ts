import { readFile } from 'node:fs/promises';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import type { Logger } from '#shared/log.ts';
import type { Entries } from './directory.ts';
import { fileEntries } from './file-entries.ts';

/**
 * The entries of one users file, which follows the file.
 *
 * - unread: made, `current` is undefined. `read` leads to good or fails and changes nothing.
 * - good: `current` is the last good version of the file.
 * - following, from either, by `follow`: when the file has changed, it is read. A good version becomes `current`. One
 *   that is gone, unreadable or invalid is logged once and `current` stays as it was.
 * - closed: nothing is watched any more.
 */
export class DirectoryFile {
  readonly #file: string;
  readonly #log: Logger;
  #current: Entries | undefined;
  readonly #watch: FileWatch;

  constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
    // A user who was added a moment ago logs in.
    this.#watch = new FileWatch([file], () => this.#reload(), 0);
  }

  /** The last good version; undefined while there was none. */
  get current(): Entries | undefined {
    return this.#current;
  }

  /** Read the file now. Fails with `unreadable` or `invalid`. */
  async read(): Promise<void> {
    this.#current = fileEntries(parseUsersFile(await load(this.#file), this.#file));
  }

  close(): void {
    void this.#watch.close();
  }

  /** Begin to look for changes, also for those since it was made. */
  follow(): void {
    this.#watch.start();
  }

  async #reload(): Promise<void> {
    try {
      await this.read();
      this.#log.info({ file: this.#file }, 'users file read again');
    } catch (error) {
      this.#log.error(
        { file: this.#file, error: errorText(error) },
        'users file refused: the last good version stays in use',
      );
    }
  }
}

async function load(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SealpostError('unreadable', `the users file ${file} cannot be read`, { cause: error });
  }
}
