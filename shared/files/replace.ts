import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../errors.ts';
import { newId } from '../ids.ts';
import { syncFolder } from './folder.ts';

/**
 * Files that are replaced in one step: the new version is written beside the old one, synced, and takes its name, so that
 * a reader sees the one or the other, also after a crash. Mode and owner of the old one stay; of a symbolic link, the
 * file that it leads to is replaced. A new file is for its owner alone.
 */

/** Replace a file, or make it. Fails as the system does; the old version is still there then, and nothing else. */
export async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
  const place = await prepareFile(file, content);
  await place();
}

/**
 * Write a new version, and answer the step that puts it in place: for files that change together.
 *
 * `beside` is where it is written, by default a name that nothing else has. It must not be there yet (EEXIST), so a fixed
 * name is a lock: `content` as a function is called when it is held, and may read the old version.
 */
export async function prepareFile(
  file: string,
  content: string | Uint8Array | (() => Promise<string>),
  beside?: string,
): Promise<() => Promise<void>> {
  const target = await realpath(file).catch(() => file);
  const folder = dirname(target);
  const temporary = beside ?? join(folder, `.${basename(target)}.${newId()}`);
  const removed = async (error: unknown): Promise<never> => {
    await rm(temporary, { force: true });
    throw error;
  };
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await keepOwner(target, handle);
    await handle.writeFile(typeof content === 'function' ? await content() : content);
    await handle.sync();
  } catch (error) {
    await removed(error);
  } finally {
    await handle.close();
  }
  return async () => {
    await rename(temporary, target).catch(removed);
    await syncFolder(folder);
  };
}

/**
 * The user who runs the node must be able to read it, though root made it: a new file is for the owner of its folder,
 * where that can be (in a container without root's rights it stays root's).
 */
async function keepOwner(target: string, made: FileHandle): Promise<void> {
  const [uid, gid] = [process.getuid?.(), process.getgid?.()];
  const old = await stat(target).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  const owner = old ?? (uid === 0 ? await stat(dirname(target)) : undefined);
  if (owner !== undefined && (owner.uid !== uid || owner.gid !== gid)) {
    await made.chown(owner.uid, owner.gid).catch((error: unknown) => {
      if (old !== undefined) throw error;
    });
  }
  if (old !== undefined) await made.chmod(old.mode & 0o777);
}
