import { type BigIntStats, type FSWatcher, statSync, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How long files must stay the same after a change before it counts, so that a half-written file is rarely read. */
const QUIET_MS = 100;
/** How often they are looked at where the system does not tell of changes. */
const POLL_MS = 1000;

/**
 * Notices that one of some files has changed.
 *
 * - made: what the files are like is known; changes count from now on.
 * - started: events of their folders and a poll say when to look. A file that is another one, longer, later, gone or
 *   there again is a change; when all have been the same for a moment (`quietMs`), `changed` is called. A change during
 *   a call leads to another call after it.
 * - closed: nothing is called any more.
 *
 * Folders are watched, not files: editors and configuration managers put a new file in the place of the old one, and a
 * mounted ConfigMap swaps a symbolic link beside it. The poll is for file systems without events (network, bind mounts),
 * and for folders that are replaced as a whole.
 */
export class FileWatch {
  readonly #files: readonly string[];
  readonly #changed: () => void | Promise<void>;
  readonly #quietMs: number;
  /** The versions that were reported last, and those that were seen last. */
  #reported: string;
  #seen: string;
  #watchers: FSWatcher[] = [];
  #poll: NodeJS.Timeout | undefined;
  /** The next look, until it begins. */
  #next: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  /**
   * `changed` must not fail. `quietMs`: 0 where a change must count immediately and a half-written file does no harm:
   * it is refused, and its next change is another call.
   */
  constructor(files: readonly string[], changed: () => void | Promise<void>, quietMs: number = QUIET_MS) {
    this.#files = files;
    this.#changed = changed;
    this.#quietMs = quietMs;
    this.#reported = files.map(versionNow).join();
    this.#seen = this.#reported;
  }

  start(): this {
    const folders = new Set(this.#files.map((file) => dirname(file)));
    this.#watchers = [...folders].flatMap((folder) => this.#watch(folder));
    this.#poll = setInterval(this.#lookSoon, POLL_MS).unref();
    this.#lookSoon();
    return this;
  }

  /** Resolves when a call of `changed` that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#next);
    for (const watcher of this.#watchers) watcher.close();
    await this.#work;
  }

  #watch(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, this.#lookSoon);
      // A folder that cannot be watched, now or any more, is left to the poll.
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  }

  readonly #lookSoon = (): void => {
    if (this.#closed) return;
    this.#next ??= setTimeout(() => {
      this.#work = this.#work.then(() => this.#look());
    }, this.#quietMs).unref();
  };

  async #look(): Promise<void> {
    this.#next = undefined;
    const versions = (await Promise.all(this.#files.map(versionOf))).join();
    if (this.#closed || versions === this.#reported) return;
    if (versions !== this.#seen && this.#quietMs > 0) {
      this.#seen = versions;
      this.#lookSoon();
      return;
    }
    this.#reported = versions;
    await this.#changed();
  }
}

/** What changes whenever the file does; '' while it cannot be seen: reading it will say why. */
async function versionOf(file: string): Promise<string> {
  return stat(file, { bigint: true }).then(version, () => '');
}

function versionNow(file: string): string {
  try {
    return version(statSync(file, { bigint: true }));
  } catch {
    return '';
  }
}

function version({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino}.${size}.${mtimeNs}.${ctimeNs}`;
}
