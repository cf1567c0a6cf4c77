import { mkdir, readdir } from 'node:fs/promises';
import { Level, type OpenOptions } from 'level';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

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

export type { OpenOptions };

/** Open the database in `folder`, made if it is not there. Fails with `store-locked` or `store-failed`. */
export async function openDatabase(folder: string, log: Logger, options: OpenOptions): Promise<Database> {
  const open = async (): Promise<Database> => {
    // LevelDB's files get their mode from the umask; the folder keeps other users of this machine out.
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await assertBegun(folder);
    const database = new NodeLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
    await database.open(options);
    return database;
  };
  try {
    return await open();
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : undefined;
    if (errorCode(cause) === 'LEVEL_LOCKED') {
      throw new SealpostError(
        'store-locked',
        `another process uses ${folder}: stop it, or give this one its own node.data`,
        { cause },
      );
    }
    if (errorCode(cause) !== 'LEVEL_CORRUPTION') {
      throw new SealpostError('store-failed', `cannot open the store in ${folder}`, { cause: cause ?? error });
    }
    // Repair keeps every table and log record that can be read; what cannot is moved to `lost/`, not deleted. It
    // orders tables by their file numbers, so an entry deleted not long ago can be there again afterwards.
    log.error(
      { store: folder, error: errorText(cause) },
      'the store is damaged: repairing it; unreadable files go to its lost/ folder',
    );
    await NodeLevel.repair(folder);
    log.warn({ store: folder }, 'the store is repaired: entries deleted lately may have come back');
    return open();
  }
}

/** LevelDB starts over where CURRENT is missing, and removes the files that were there. */
async function assertBegun(folder: string): Promise<void> {
  const files = await readdir(folder);
  if (files.includes('CURRENT') || !files.some((file) => /^MANIFEST-|\.(ldb|log)$/.test(file))) return;
  throw Object.assign(new Error('its file CURRENT is missing'), { code: 'LEVEL_CORRUPTION' });
}
