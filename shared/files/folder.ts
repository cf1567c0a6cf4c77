import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorCode } from '../errors.ts';

/** Folders whose names survive a power cut: POSIX promises the name of a new file only once its folder was synced. */

/** The entries of a folder are on disk: a file that was synced may still lack its name there. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/**
 * Make a folder and those above it, for their owner alone, synced. Nothing is made in a folder before its own name is on
 * disk, so a start that was killed leaves at most one name to be synced: that of the folder asked for, which is synced
 * also where it was there already.
 */
export async function makeFolder(folder: string): Promise<void> {
  const path = resolve(folder);
  const above = dirname(path);
  if (above === path) return;
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      await makeFolder(above);
      return makeFolder(path);
    }
    // A read-only file system says so before it says that the folder is there.
    if (!(await isFolder(path))) throw error;
  }
  await syncFolder(above).catch((error: unknown) => {
    // Who may neither read nor change the folder above (a mount point, a read-only root) did not make this one.
    if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(errorCode(error) ?? '')) throw error;
  });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
