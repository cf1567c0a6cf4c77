import { statfsSync } from 'node:fs';

/**
 * How much more mail the disk has room for. Asking the file system costs a system call, so the answer is kept for a
 * moment, and what was accepted since is taken off it.
 */

const KEEP_MS = 250;
/** A negative answer is kept for less time: more may have been counted than was written. */
const KEEP_NO_MS = 10;
/** LevelDB writes everything twice before it drops the first copy: to its log, then to a table. */
const WRITES = 2;

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

  /** Bytes that can be accepted before the reserve is used; below zero when it is in use already. */
  available(): number {
    const age = performance.now() - this.#asked;
    if (age > KEEP_MS || (age > KEEP_NO_MS && this.#left() <= 0)) {
      this.#known = this.#free(this.#folder);
      this.#asked = performance.now();
      this.#accepted = 0;
    }
    return this.#left();
  }

  /** Count bytes that are being written. */
  took(bytes: number): void {
    this.#accepted += bytes;
  }

  #left(): number {
    return this.#known - this.#reserve() - this.#accepted * WRITES;
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
