import { createReadStream } from 'node:fs';
import { chmod, chown, link, mkdir, open, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { makeFolder, syncFolder } from '#shared/files/folder.ts';
import { newId } from '#shared/ids.ts';
import { ContentDigest } from './archive/digests.ts';
import type { FilePart, Place } from './archive/manifest.ts';

/** Puts the files of a backup back. Nothing is overwritten. */

/** Where a path of the backup is now. */
export type At = (path: string) => string;

/** Which files are missing here, which are there as they were, and which are there otherwise. */
export type FilePlan = { missing: FilePart[]; same: FilePart[]; differing: FilePart[] };

/** Fails with `file-unreadable`. */
export async function planFiles(files: readonly FilePart[], at: At): Promise<FilePlan> {
  const plan: FilePlan = { missing: [], same: [], differing: [] };
  for (const file of files) {
    const sha256 = await digestOf(at(file.path));
    if (sha256 === undefined) plan.missing.push(file);
    else if (sha256 === file.sha256) plan.same.push(file);
    else plan.differing.push(file);
  }
  return plan;
}

/** Undefined where there is no such file; of what is no file, nothing is read: of a pipe or a device there may be no end. */
async function digestOf(path: string): Promise<string | undefined> {
  const digest = new ContentDigest();
  try {
    const found = await stat(path);
    if (!found.isFile() && !found.isDirectory()) return NO_FILE;
    for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined;
    throw new SealpostError('file-unreadable', `${unreadable(path, error)}: nothing was restored`);
  }
  return digest.end().sha256;
}

/** What no file has as its digest. */
const NO_FILE = '';

/** Make the folders that are missing, with the mode and for root with the owner that they had; the first ones first. */
export async function placeFolders(folders: readonly Place[], at: At): Promise<void> {
  for (const { path, mode, uid, gid } of folders.toSorted((a, b) => a.path.length - b.path.length)) {
    const here = at(path);
    await makeFolder(dirname(here));
    try {
      await mkdir(here, { mode: 0o700 });
    } catch (error) {
      if (errorCode(error) === 'EEXIST') continue;
      throw error;
    }
    if (process.getuid?.() === 0) await chown(here, uid, gid);
    await chmod(here, mode);
    await syncFolder(dirname(here));
  }
}

/**
 * Write a file that is not there, with the mode that it had, and for root with its owner. It is written beside its name,
 * for its owner alone, and takes that when it is complete; what got the name meanwhile is not replaced: `exists`.
 */
export async function placeFile(
  path: string,
  { mode, uid, gid, sha256 }: FilePart,
  content: AsyncIterable<Uint8Array>,
): Promise<void> {
  const folder = dirname(path);
  const beside = join(folder, `.${basename(path)}.${newId()}`);
  const file = await open(beside, 'wx', 0o600);
  try {
    try {
      for await (const piece of content) await file.writeFile(piece);
      if (process.getuid?.() === 0) await file.chown(uid, gid);
      await file.chmod(mode & 0o777);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(beside, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    // One volume can be mounted at two places.
    if ((await digestOf(path)) === sha256) return;
    throw new SealpostError('exists', `${path} was made meanwhile and is not overwritten`);
  } finally {
    await rm(beside, { force: true });
  }
  await syncFolder(folder);
}
