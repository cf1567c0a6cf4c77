import { createTarPacker } from 'modern-tar';
import { errorText, SealpostError } from '#shared/errors.ts';
import { ContentDigest, FolderDigest } from './digests.ts';
import { encrypter, type Lock } from './encryption.ts';
import { type Digest, HEAD, type Head, MANIFEST, type Manifest } from './manifest.ts';

/** Where the encrypted bytes go, in order; each call waits until they are taken. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/** How an entry looks for somebody who unpacks the archive with tar. */
export type EntryLook = { mode?: number; uid?: number; gid?: number };

/**
 * Writes the archive: a tar stream, encrypted as it is made, of which no byte is anywhere in clear. What is added waits
 * until the sink takes it, so that memory holds a few megabytes of it at most.
 */
export class ArchiveWriter {
  readonly #packer = createTarPacker();
  readonly #created: Date;
  readonly #pumped: Promise<void>;
  #failure: unknown;

  private constructor(lock: Lock, created: Date, sink: Sink) {
    this.#created = created;
    this.#pumped = this.#pump(lock, sink);
    // It is told to those who add, and to `finish`.
    this.#pumped.catch(() => undefined);
  }

  static async begin(lock: Lock, head: Head, sink: Sink): Promise<ArchiveWriter> {
    const writer = new ArchiveWriter(lock, new Date(head.created), sink);
    await writer.add(HEAD, json(head));
    return writer;
  }

  /** One entry. Fails as the sink does. */
  async add(name: string, content: Uint8Array, look: EntryLook = {}): Promise<Digest> {
    return this.addPieces(name, content.length, [content], look);
  }

  /** One entry of which the size is known before. Fails with `file-unreadable` where the content has another one. */
  async addPieces(
    name: string,
    size: number,
    content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { mode = 0o600, uid = 0, gid = 0 }: EntryLook = {},
  ): Promise<Digest> {
    const digest = new ContentDigest();
    await this.#told(async () => {
      const entry = this.#packer.controller.add({ name, size, mode, uid, gid, mtime: this.#created });
      const body = entry.getWriter();
      // The last call that fails tells why; the stream would report it a second time to nobody.
      body.closed.catch(() => undefined);
      for await (const piece of content) {
        if (piece.length === 0) continue;
        digest.update(piece);
        await body.write(piece);
      }
      await body.close();
    });
    return digest.end();
  }

  /** A folder of entries with one digest for all of them. */
  folder(): ArchiveFolder {
    return new ArchiveFolder(this);
  }

  /** Write the manifest and end; resolves when the sink has taken everything. */
  async finish(manifest: Manifest): Promise<void> {
    await this.add(MANIFEST, json(manifest));
    await this.#told(async () => this.#packer.controller.finalize());
    await this.#pumped;
  }

  /** Give up: the sink gets no further byte. */
  async abort(): Promise<void> {
    this.#packer.controller.error(new Error('the backup was given up'));
    await this.#pumped.catch(() => undefined);
  }

  async #pump(lock: Lock, sink: Sink): Promise<void> {
    try {
      const encrypted = await encrypter(lock).encrypt(this.#packer.readable);
      for await (const bytes of encrypted) await sink(bytes);
    } catch (error) {
      this.#failure = error;
      this.#packer.controller.error(error);
      throw error;
    }
  }

  /** What went wrong at the sink is the reason, whatever the streams between say. */
  async #told(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw this.#failure ?? changed(error);
    }
  }
}

/** tar says the size of a file before its content. */
function changed(error: unknown): unknown {
  if (!/exceeds given size|Size mismatch/.test(errorText(error))) return error;
  return new SealpostError('file-unreadable', `a file was changed while it was read (${errorText(error)}): try again`);
}

export class ArchiveFolder {
  readonly #writer: ArchiveWriter;
  readonly #digest = new FolderDigest();

  constructor(writer: ArchiveWriter) {
    this.#writer = writer;
  }

  async add(name: string, content: Uint8Array): Promise<void> {
    this.#digest.begin(name, content.length);
    this.#digest.update(content);
    await this.#writer.add(name, content);
  }

  end(): Digest & { entries: number } {
    return this.#digest.end();
  }
}

function json(value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}
