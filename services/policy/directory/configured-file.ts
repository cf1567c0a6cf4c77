import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Entries } from './directory.ts';
import { DirectoryFile } from './directory-file.ts';

/**
 * The users file that the configuration names; a change of the configuration may name another.
 *
 * - none: no users file is configured; `current` is null.
 * - following: `current` is that file's last good version.
 * - changing: another file is read for the first time; the previous one stays in use until that is done. Then
 *   following, or, where the file cannot be read, unavailable.
 * - unavailable: `current` is undefined, and what needs it is deferred (4xx). The file is watched all the
 *   same: a good version leads to following.
 */
export class ConfiguredFile {
  readonly #log: Logger;
  #file: DirectoryFile | null = null;
  /** Counts changes, so that the file named last wins however long each takes to read. */
  #generation = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  get current(): Entries | undefined | null {
    return this.#file === null ? null : this.#file.current;
  }

  /** The first file, or none. Fails with `unreadable` or `invalid`. */
  async open(path: string | undefined): Promise<void> {
    if (path === undefined) return;
    const file = new DirectoryFile(path, this.#log);
    await file.read();
    file.follow();
    this.#file = file;
  }

  /** Another file, or none. Resolves when it is in use; what is wrong with it is logged. */
  async change(path: string | undefined): Promise<void> {
    const generation = ++this.#generation;
    const file = path === undefined ? null : new DirectoryFile(path, this.#log);
    try {
      await file?.read();
    } catch (error) {
      this.#log.error(
        { file: path, error: errorText(error) },
        'users file refused: log-ins and local mail are deferred until it is valid',
      );
    }
    if (generation !== this.#generation) return;
    file?.follow();
    this.#file?.close();
    this.#file = file;
  }

  close(): void {
    this.#generation++;
    this.#file?.close();
  }
}
