import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Level, type OpenOptions } from 'level';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import { replaceFile } from '#shared/files/replace.ts';
import type { Logger } from '#shared/log.ts';
import { adopt } from './leveldb/current.ts';
import { lostFolder } from './leveldb/damage.ts';
import { type Inspection, inspect, isSound, unlistedTables } from './leveldb/inspect.ts';
import { assertRoom, mendLog, mendTables, syncFiles } from './leveldb/mend.ts';

/**
 * Opens a LevelDB, and repairs one that is damaged.
 *
 * Under Node `level` is classic-level itself; its types leave out what browsers cannot do. Of that a store needs two
 * things, named here: `compactRange` and `repair`.
 */
export type Database = Level<string, Buffer> & { compactRange(start: string, end: string): Promise<void> };
const NodeLevel = Level as unknown as {
  new (location: string, options: { keyEncoding: 'utf8'; valueEncoding: 'buffer' }): Database;
  repair(location: string): Promise<void>;
};

/** `names`: see `recordDamage`. */
export type StoreOptions = OpenOptions & { names?: RegExp };

/** Whether LevelDB cannot read what it has; trying again does not help. */
export function isDamage(error: unknown): boolean {
  if (errorCode(error) === 'LEVEL_CORRUPTION') return true;
  // A table that is too short, and one that is gone.
  const missing = /\.(ldb|sst): (Invalid argument|No such file or directory)/;
  return errorCode(error) === 'LEVEL_IO_ERROR' && missing.test(errorText(error));
}

/** Whether a store failed for want of space. LevelDB hands the reason on as text alone. */
export function isOutOfSpace(error: unknown): boolean {
  return /No space left on device|[Dd]isk quota exceeded|ENOSPC|EDQUOT/.test(errorText(error));
}

/**
 * Open the database in `folder`, made if it is not there. What is damaged is mended first: `damage` is what an earlier
 * handle found. Fails with `store-locked`, `store-failed`, or `store-damaged` when it cannot be opened nor repaired.
 */
export async function openDatabase(
  folder: string,
  log: Logger,
  options: StoreOptions,
  damage?: Error,
): Promise<Database> {
  const opening = new Opening(folder, log, options);
  try {
    // LevelDB's files get their mode from the umask; the folder keeps other users of this machine out.
    await makeFolder(folder);
    const reason = (await opening.mend()) ?? (damage === undefined ? undefined : errorText(damage));
    if (reason !== undefined) return await opening.repair(reason);
    return await opening.open().catch((error: unknown) => {
      if (!isDamage(causeOf(error))) throw error;
      return opening.repair(errorText(causeOf(error)));
    });
  } catch (error) {
    const cause = causeOf(error);
    if (errorCode(cause) === 'LEVEL_LOCKED') {
      const text = `another process uses ${folder}: stop it, or give this one its own node.data`;
      throw new SealpostError('store-locked', text, { cause });
    }
    if (isDamage(cause)) {
      throw new SealpostError('store-damaged', `the store in ${folder} is damaged, and repair does not help`, {
        cause,
      });
    }
    throw new SealpostError('store-failed', `cannot open the store in ${folder}`, { cause });
  }
}

class Opening {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #options: OpenOptions;
  readonly #names: RegExp | undefined;
  #tables: Inspection['tables'] = [];

  constructor(folder: string, log: Logger, { names, ...options }: StoreOptions) {
    this.#folder = folder;
    this.#log = log;
    this.#options = options;
    this.#names = names;
  }

  /** Mend what can be mended file by file; answers why that is not enough. */
  async mend(): Promise<string | undefined> {
    const interrupted = await isThere(join(this.#folder, REPAIRING));
    if (!interrupted && isSound(await inspect(this.#folder))) return undefined;
    // Another process may have it open, and be just writing.
    await this.#assertFree();
    const { current, logs, tables } = await inspect(this.#folder);
    for (const log of logs) this.#tell(await mendLog(this.#folder, log, this.#names));
    this.#tables = tables;
    if (current !== 'right' && 'damaged' in current) return current.damaged;
    if (current !== 'right') {
      const text = 'the store was being opened when the machine stopped: going on from there';
      this.#log.warn({ store: this.#folder, list: current.adopt }, text);
      await adopt(this.#folder, current.adopt);
    }
    if (tables.length === 0) return interrupted ? 'an earlier repair was interrupted' : undefined;
    return tables.map(({ file, size, found }) => `${file} has ${found ?? 'none'} of ${size} bytes`).join(', ');
  }

  /**
   * LevelDB's repair keeps what can be read. Halfway through it moves logs away, so one that was interrupted is repeated
   * before anything else. It takes every table for one of the newest: until they have been merged, an old entry can
   * hide a new one. Two files say how far this is.
   */
  async repair(reason: string): Promise<Database> {
    const store = this.#folder;
    this.#log.error(
      { store, error: reason },
      'the store is damaged: repairing it, which takes minutes where it is large',
    );
    await assertRoom(store);
    await replaceFile(join(store, UNMERGED), '');
    await replaceFile(join(store, REPAIRING), '');
    const repair = (): Promise<void> => NodeLevel.repair(store);
    const what = await mendTables(store, reason, { repair, tables: this.#tables, names: this.#names });
    await syncFiles(store);
    await rm(join(store, REPAIRING));
    this.#tell(what);
    return this.open();
  }

  async open(): Promise<Database> {
    const database = await this.#openFiles().catch(async (error: unknown) => {
      if (!isOutOfSpace(error) || !(await this.#makeRoom())) throw error;
      return this.#openFiles();
    });
    try {
      if (await isThere(join(this.#folder, UNMERGED))) {
        await database.compactRange('', LAST_KEY);
        // LevelDB does not tell of a compaction that it gave up until the next write.
        await database.batch([{ type: 'del', key: LAST_KEY }], { sync: true });
        await rm(join(this.#folder, UNMERGED));
      }
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  async #openFiles(): Promise<Database> {
    const database = this.#handle();
    await database.open(this.#options);
    return database;
  }

  /**
   * A compaction that a full disk stopped leaves its tables, and LevelDB removes them only when it has opened, for which
   * it may need their room.
   */
  async #makeRoom(): Promise<boolean> {
    const tables = await unlistedTables(this.#folder);
    for (const file of tables) await rm(join(this.#folder, file));
    return tables.length > 0;
  }

  #tell(what: string): void {
    const text = 'the store was damaged: what could be read was kept, the rest is in its lost/ folder';
    this.#log.error({ store: this.#folder, damage: what, kept: lostFolder(this.#folder) }, text);
  }

  /** LevelDB takes its lock before it refuses a database that is there, or one that is not. */
  async #assertFree(): Promise<void> {
    await this.#handle()
      .open({ ...this.#options, createIfMissing: false, errorIfExists: true })
      .catch((error: unknown) => {
        if (errorCode(causeOf(error)) === 'LEVEL_LOCKED') throw error;
      });
  }

  #handle(): Database {
    return new NodeLevel(this.#folder, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
  }
}

const REPAIRING = 'REPAIRING';
const UNMERGED = 'UNMERGED';
const LAST_KEY = '\u{10ffff}';

/** `level` wraps what LevelDB says. */
function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? error) : error;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
