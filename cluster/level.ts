import { Level, type OpenOptions } from 'level';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import type { Logger } from '#shared/log.ts';
import { adopt, inspectCurrent } from './leveldb/current.ts';

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
    await makeFolder(folder);
    await assertListed(folder, log, options);
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

/**
 * See that CURRENT names the newest list of files: where it is missing LevelDB starts over, and removes the files that
 * were there.
 */
async function assertListed(folder: string, log: Logger, options: OpenOptions): Promise<void> {
  if ((await inspectCurrent(folder)) === 'right') return;
  // Another process may be just opening it.
  await assertFree(folder, options);
  const current = await inspectCurrent(folder);
  if (current === 'right') return;
  if ('damaged' in current) throw Object.assign(new Error(current.damaged), { code: 'LEVEL_CORRUPTION' });
  log.warn(
    { store: folder, list: current.adopt },
    'the store was being opened when the machine stopped: going on from there',
  );
  await adopt(folder, current.adopt);
}

/** LevelDB takes its lock before it refuses a database that is there, or one that is not. */
async function assertFree(folder: string, options: OpenOptions): Promise<void> {
  const database = new NodeLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
  await database.open({ ...options, createIfMissing: false, errorIfExists: true }).catch((error: unknown) => {
    if (error instanceof Error && errorCode(error.cause) === 'LEVEL_LOCKED') throw error;
  });
}
