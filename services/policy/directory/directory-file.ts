import { type FSWatcher, watch } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { Directory } from './directory.ts';

/** How often the file is looked at where the system does not tell of changes (network file systems, bind mounts). */
const POLL_MS = 2000;

/**
 * The directory of one users file, which follows the file.
 *
 * - unread: made, `current` is undefined. `read` leads to good or fails and changes nothing.
 * - good: `current` is the last good version of the file.
 * - following, from either, by `follow`: the folder's events and a poll say that the file may have changed; if it
 *   has, it is read. A good version becomes `current`. One that is gone, unreadable or invalid is logged once and
 *   `current` stays as it was.
 * - closed: nothing is watched any more.
 */
export class DirectoryFile {
  readonly #file: string;
  readonly #log: Logger;
  #current: Directory | undefined;
  /** Identifies the version that was last read, good or bad. */
  #version: string | undefined;
  #watcher: FSWatcher | undefined;
  #poll: NodeJS.Timeout | undefined;
  #checking = false;
  #again = false;

  constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
  }

  /** The last good version; undefined while there was none. */
  get current(): Directory | undefined {
    return this.#current;
  }

  /** Read the file now. Fails with `unreadable` or `invalid`. */
  async read(): Promise<void> {
    this.#version = await versionOf(this.#file);
    this.#current = new Directory(parseUsersFile(await load(this.#file), this.#file));
  }

  close(): void {
    this.#watcher?.close();
    clearInterval(this.#poll);
    this.#poll = undefined;
  }

  /** Begin to look for changes. */
  follow(): void {
    this.#poll = setInterval(() => this.#check(), POLL_MS).unref();
    try {
      const name = basename(this.#file);
      // The folder, not the file: editors and our own writer replace the file by renaming.
      this.#watcher = watch(dirname(this.#file), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) this.#check();
      });
      this.#watcher.on('error', (error) => {
        this.#log.debug({ file: this.#file, err: error }, 'folder cannot be watched any more; the poll goes on');
        this.#watcher?.close();
      });
    } catch (error) {
      this.#log.debug({ file: this.#file, err: error }, 'folder cannot be watched; the poll does it');
    }
  }

  /** One check at a time; what happens meanwhile is looked at afterwards. */
  #check(): void {
    if (this.#checking) {
      this.#again = true;
      return;
    }
    this.#checking = true;
    this.#reload().finally(() => {
      this.#checking = false;
      if (this.#again) {
        this.#again = false;
        this.#check();
      }
    });
  }

  async #reload(): Promise<void> {
    if ((await versionOf(this.#file)) === this.#version || this.#poll === undefined) return;
    try {
      await this.read();
      this.#log.info({ file: this.#file }, 'users file read again');
    } catch (error) {
      this.#log.error(
        { file: this.#file, problems: errorText(error) },
        'users file refused; what was in force stays in force',
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

/** What changes whenever the file does; undefined while it is not there. */
async function versionOf(file: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${ino}.${size}.${mtimeNs}.${ctimeNs}`;
  } catch {
    // Why it cannot be seen does not matter here: reading it says so to the administrator.
    return undefined;
  }
}
