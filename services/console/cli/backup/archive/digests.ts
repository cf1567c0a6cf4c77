import { createHash, type Hash } from 'node:crypto';
import type { Digest } from './manifest.ts';

/** The digest of one content that comes in pieces. */
export class ContentDigest {
  readonly #hash: Hash = createHash('sha256');
  #size = 0;

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  end(): Digest {
    return { size: this.#size, sha256: this.#hash.digest('hex') };
  }
}

/** The digest of the entries of a folder, of each its name, its size and its content. */
export class FolderDigest {
  readonly #hash: Hash = createHash('sha256');
  #size = 0;
  #entries = 0;

  begin(name: string, size: number): void {
    this.#hash.update(`${name}\0${size}\0`);
    this.#entries++;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  end(): Digest & { entries: number } {
    return { entries: this.#entries, size: this.#size, sha256: this.#hash.digest('hex') };
  }
}
