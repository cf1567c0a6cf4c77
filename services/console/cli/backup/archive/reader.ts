import { type FileHandle, open } from 'node:fs/promises';
import type { Decrypter } from 'age-encryption';
import { createTarDecoder } from 'modern-tar';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { decrypter, LONGEST_HEADER, type Unlock } from './encryption.ts';

const READ_BYTES = 256 * 1024;

/** An entry of the archive: its body must be read, or left to `entries`, which skips the rest of it. */
export type ArchiveEntry = { name: string; size: number; body: AsyncIterable<Uint8Array> };

/**
 * A backup on disk, decrypted as it is read and held nowhere. It stays open between two readings, and both are with the
 * same key of the file: another file that took its name, or its place, is not taken for it.
 */
export class ArchiveReader implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #decrypter: Decrypter;
  readonly size: number;
  /** Encrypted bytes that this reading has read. */
  position = 0;

  private constructor(file: FileHandle, decrypter: Decrypter, size: number) {
    this.#file = file;
    this.#decrypter = decrypter;
    this.size = size;
  }

  /** Fails with `file-unreadable`, `backup-key` or `backup-damaged`. */
  static async open(path: string, unlock: () => Promise<Unlock>): Promise<ArchiveReader> {
    const file = await open(path, 'r').catch((error: unknown) => {
      throw new SealpostError('file-unreadable', `the backup cannot be read: ${unreadable(path, error)}`);
    });
    try {
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file
        .read(Buffer.alloc(LONGEST_HEADER), 0, LONGEST_HEADER, 0)
        .catch((error: unknown) => {
          throw new SealpostError('file-unreadable', `the backup cannot be read: ${unreadable(path, error)}`);
        });
      const beginning = new Uint8Array(buffer.buffer, buffer.byteOffset, bytesRead);
      return new ArchiveReader(file, await decrypter(await unlock(), beginning), size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The entries, from the first one. Fails with `backup-damaged` where the file was cut or changed. */
  async *entries(): AsyncGenerator<ArchiveEntry> {
    try {
      const clear = await this.#decrypter.decrypt(this.#encrypted());
      const entries = clear.pipeThrough(createTarDecoder({ strict: true }));
      for await (const { header, body } of entries) {
        if (header.type !== 'file') throw new Error(`entry ${header.name} is not a file`);
        let read = false;
        const bytes = async function* (): AsyncGenerator<Uint8Array> {
          read = true;
          try {
            yield* body;
          } catch (error) {
            throw damaged(error);
          }
        };
        yield { name: header.name, size: header.size, body: bytes() };
        // Not `cancel`: the decoder then waits for ever at a later body that comes in several pieces.
        if (!read) for await (const _ of body);
      }
    } catch (error) {
      throw error instanceof SealpostError ? error : damaged(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  #encrypted(): ReadableStream<Uint8Array> {
    this.position = 0;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const chunk = Buffer.allocUnsafe(READ_BYTES);
          const { bytesRead } = await this.#file.read(chunk, 0, READ_BYTES, this.position);
          this.position += bytesRead;
          if (bytesRead === 0) controller.close();
          else controller.enqueue(chunk.subarray(0, bytesRead));
        },
      },
      { highWaterMark: 1 },
    );
  }
}

/** All of a small entry. Fails with `backup-damaged` where it is longer than it may be. */
export async function contentOf({ name, size, body }: ArchiveEntry, most: number): Promise<Buffer> {
  if (size > most) throw damaged(new Error(`entry ${name} has ${size} bytes`));
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

export function damaged(error: unknown): SealpostError {
  return new SealpostError('backup-damaged', `the backup was cut or changed: ${errorText(error)}`);
}
