import { open, rm } from 'node:fs/promises';
import { syncFolder } from '#shared/files/folder.ts';

/** Writing files so that they survive a crash of the machine. */

/**
 * Write a new file and sync it; resolves to its size. Rejects with EEXIST when there is one; after any other error the
 * file is gone.
 */
export async function writeSynced(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const file = await open(path, 'wx', 0o600);
  try {
    let bytes = 0;
    for await (const chunk of chunks) {
      // writeFile continues where the last one ended, and writes all of it.
      await file.writeFile(chunk);
      bytes += chunk.length;
    }
    await file.datasync();
    return bytes;
  } catch (error) {
    // A full disk needs the room. A removal that fails too must not hide why the write did.
    await Promise.allSettled([rm(path, { force: true })]);
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Syncs of one folder that are asked for while one runs share the next one: with many writers one sync serves many
 * files.
 */
export class FolderSync {
  readonly #folder: string;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Resolves when every entry made before the call is on disk. */
  sync(): Promise<void> {
    this.#next ??= this.#after(this.#running);
    return this.#next;
  }

  async #after(running: Promise<void> | undefined): Promise<void> {
    // A failed sync is reported to those that waited for it; this one has an outcome of its own.
    await Promise.allSettled([running]);
    this.#running = this.#next;
    this.#next = undefined;
    await syncFolder(this.#folder);
  }
}
