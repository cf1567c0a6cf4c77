import { chmod, chown, mkdir, open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { unreadable } from '#cluster/config/secrets.ts';
import { generateNek, type Nek, parseNek, parseNeks } from '#shared/dkim/nek.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { usageError } from '../exit.ts';

/**
 * Adds a NEK to the file that the configuration names, one line each. The new content is written beside the file,
 * synced, and takes its place in one step, so that a node that reads it sees the old or the new one. The file beside it
 * is also the lock: two commands at once cannot lose each other's NEK, which would lose every key that it wraps.
 */

/** The text of a new NEK, one line with its end. Fails with `usage` when the name cannot be one. */
export function newNek(name: string): { text: string; nek: Nek } {
  try {
    const text = generateNek(name);
    return { text, nek: parseNek(text) };
  } catch (error) {
    throw usageError(errorText(error));
  }
}

/**
 * Make a NEK and add it to `file`, which is made where it is missing, for its owner alone. Fails with `exists` when it
 * has one of that name, with `nek-invalid` when it holds something else, with `nek-file` when it cannot be changed.
 */
export async function addNek(file: string, name: string): Promise<Nek> {
  const { text, nek } = newNek(name);
  try {
    await makeFolder(dirname(file));
    // A secret that is mounted may be a link: the file behind it is the one to replace.
    const target = await realpath(file).catch(() => file);
    await replace(target, (old) => `${old}${old === '' || old.endsWith('\n') ? '' : '\n'}${text}`, name);
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    throw new SealpostError('nek-file', `${file} was not changed: ${errorText(error)}`);
  }
  return nek;
}

async function replace(file: string, change: (old: string) => string, name: string): Promise<void> {
  const beside = `${file}.new`;
  const handle = await open(beside, 'wx', 0o600).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
    const what = `${beside} is there: the same command runs, or was interrupted`;
    throw new SealpostError('nek-file', `${file} was not changed, as ${what}. Where none runs, remove ${beside}`);
  });
  try {
    try {
      await handle.writeFile(change(await readNekFile(file, name)));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await keepOwner(file, beside);
    await rename(beside, file);
  } catch (error) {
    await unlink(beside).catch(() => undefined);
    throw error;
  }
}

/** What is in the file; nothing where there is none yet. */
async function readNekFile(file: string, name: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return '';
    throw new SealpostError('nek-file', unreadable(file, error));
  }
  if (text.trim() === '') return '';
  try {
    if (parseNeks(text).every((nek) => nek.name !== name)) return text;
  } catch (error) {
    throw new SealpostError('nek-invalid', `${file} was not changed: ${errorText(error)}`);
  }
  throw new SealpostError('exists', `there is a NEK ${name} in ${file} already: give the new one another name`);
}

/** The folder of secrets, where it is missing; for the owner of the folder that it is in. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    throw error;
  }
  if (process.getuid?.() === 0) await giveTo(await stat(dirname(folder)), folder);
}

/** The user who runs the node must be able to read it, though root made it: a new file is for the owner of its folder. */
async function keepOwner(file: string, made: string): Promise<void> {
  const old = await stat(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (old !== undefined) {
    await giveTo(old, made);
    await chmod(made, old.mode & 0o777);
  } else if (process.getuid?.() === 0) {
    await giveTo(await stat(dirname(file)), made);
  }
}

async function giveTo(owner: { uid: number; gid: number }, path: string): Promise<void> {
  const { uid, gid } = await stat(path);
  if (uid !== owner.uid || gid !== owner.gid) await chown(path, owner.uid, owner.gid);
}
