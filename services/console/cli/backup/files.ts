import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { namedFiles } from '#cluster/config/paths.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { entryOf, type FilePart, type Place } from './archive/manifest.ts';
import type { ArchiveWriter } from './archive/writer.ts';

/**
 * The files of a backup: the configuration, every file that it names, and what --include names. Each is kept under its
 * absolute path; of a symbolic link, the file that it leads to, so that what certbot keeps is restored as plain files.
 */

const READ_BYTES = 256 * 1024;

/**
 * Paths, absolute, each once. `absent`: files that the configuration names and that are not here, as where services have
 * machines or containers of their own. Fails with `file-unreadable` where one that --include names is not there.
 */
export async function listFiles(
  configFile: string | undefined,
  config: Config,
  included: readonly string[],
): Promise<{ files: string[]; absent: string[] }> {
  const files = new Set<string>(configFile === undefined ? [] : [resolve(configFile)]);
  const absent: string[] = [];
  for (const file of namedFiles(config)) {
    if (await isThere(file)) files.add(file);
    else absent.push(file);
  }
  for (const path of included) for (const file of await filesBelow(resolve(path))) files.add(file);
  // The stores are read by those who know them.
  const stores = ['credentials', 'queue'].map((name) => join(config.node.data, name, '/'));
  return { files: [...files].filter((file) => !stores.some((store) => file.startsWith(store))), absent };
}

/** One that may not be looked at is there: reading it says why it cannot be read. */
function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? ''),
  );
}

/** The file itself, or all in a folder and those below; sockets and the like are left out. */
async function filesBelow(path: string): Promise<string[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new SealpostError('file-unreadable', `--include: ${unreadable(path, error)}`);
  });
  if (found.isFile()) return [path];
  if (!found.isDirectory()) return [];
  const files: string[] = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(below)));
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(below)))) files.push(below);
  }
  return files.sort();
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Put a file into the archive. Fails with `file-unreadable`. */
export async function addFile(archive: ArchiveWriter, path: string): Promise<FilePart> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new SealpostError('file-unreadable', unreadable(path, error));
  });
  try {
    const { size, mode, uid, gid, isFile } = await about(file, path);
    if (!isFile) throw new SealpostError('file-unreadable', `${path} is not a file`);
    const look = { mode: mode & 0o7777, uid, gid };
    const digest = await archive.addPieces(entryOf.file(path), size, pieces(file, size), look);
    return { path, ...look, ...digest };
  } catch (error) {
    if (errorCode(error) === 'EISDIR') throw new SealpostError('file-unreadable', unreadable(path, error));
    throw error;
  } finally {
    await file.close();
  }
}

async function about(file: FileHandle, path: string) {
  try {
    const found = await file.stat();
    return { size: found.size, mode: found.mode, uid: found.uid, gid: found.gid, isFile: found.isFile() };
  } catch (error) {
    throw new SealpostError('file-unreadable', unreadable(path, error));
  }
}

/** As many bytes as it has now; one that grows meanwhile is cut there. */
async function* pieces(file: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; ) {
    const piece = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await file.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}

/** The folders that files are in, from the root on. */
export async function foldersOf(files: readonly string[]): Promise<Place[]> {
  const paths = new Set<string>();
  for (const file of files)
    for (let path = dirname(file); path !== dirname(path); path = dirname(path)) paths.add(path);
  return Promise.all(
    [...paths].toSorted().map(async (path) => {
      const { mode, uid, gid } = await stat(path);
      return { path, mode: mode & 0o7777, uid, gid };
    }),
  );
}
