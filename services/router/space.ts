import { statfsSync } from 'node:fs';

/**
 * How much more mail the disk has room for. Asking the file system costs a system call, so the answer is kept for a
 * moment, and what was accepted since is taken off it.
 */

const KEEP_MS = 250;
/** LevelDB writes everything twice before it drops the first copy: to its log, then to a table. */
const COPIES = 2;

export class Space {
  readonly #folder: string;
  readonly #reserve: () => number;
  readonly #free: (folder: string) => number;
  #known = 0;
  #asked = Number.NEGATIVE_INFINITY;
  #accepted = 0;

  /** `reserve`: bytes that must stay free. Throws a system error when the folder's file system cannot be asked. */
  constructor(folder: string, reserve: () => number, free: (folder: string) => number = freeBytes) {
    this.#folder = folder;
    this.#reserve = reserve;
    this.#free = free;
    this.available();
  }

  /** Bytes that can be taken before the reserve is touched; below zero when it is touched already. */
  available(): number {
    const now = performance.now();
    if (now - this.#asked > KEEP_MS) {
      this.#known = this.#free(this.#folder);
      this.#asked = now;
      this.#accepted = 0;
    }
    return this.#known - this.#reserve() - this.#accepted * COPIES;
  }

  /** Count bytes that are being written. */
  took(bytes: number): void {
    this.#accepted += bytes;
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
