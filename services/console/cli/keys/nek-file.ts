import { chown, mkdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { unreadable } from '#cluster/config/secrets.ts';
import { generateNek, type Nek, parseNek, parseNeks } from '#shared/dkim/nek.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { prepareFile } from '#shared/files/replace.ts';
import { usageError } from '../exit.ts';

/**
 * Adds a NEK to the file that the configuration names, one line each. The new content is written beside the file,
 * synced, and takes its place in one step, so that a node that reads it sees the old or the new one. The file beside it
 * is also the lock: two concurrent commands cannot lose each other's NEK, which would lose every key that it wraps.
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
    // A mounted secret may be a link: its target is the file to replace.
    const target = await realpath(file).catch(() => file);
    const added = async (): Promise<string> => `${await readNekFile(target, name)}${text}`;
    const place = await prepareFile(target, added, `${target}.new`).catch((error: unknown) => {
      if (errorCode(error) === 'EEXIST') throw locked(target);
      throw error;
    });
    await place();
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    throw new SealpostError('nek-file', `${file} was not changed: ${errorText(error)}`);
  }
  return nek;
}

function locked(file: string): SealpostError {
  const what = `${file}.new is there: the same command runs, or was interrupted`;
  return new SealpostError('nek-file', `${file} was not changed, as ${what}. Where none runs, remove ${file}.new`);
}

/** What is in the file, each NEK with the end of its line; nothing where there is none yet. */
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
    if (parseNeks(text).every((nek) => nek.name !== name)) return text.endsWith('\n') ? text : `${text}\n`;
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
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(dirname(folder));
  await chown(folder, uid, gid);
}
