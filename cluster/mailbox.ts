import type { BusRequest } from './bus/bus.ts';

/**
 * The bounds of a mailbox: requests that were taken and not yet answered, and the bytes beside their fields. A caller on
 * another process may take three quarters of either, so that it does not shut out the others.
 */

const MOST = 4096;
const MOST_BYTES = 256 * 1024 * 1024;
const SHARE = 0.75;

type Count = { requests: number; bytes: number };

export class Mailbox {
  readonly #most: number;
  readonly #all: Count = { requests: 0, bytes: 0 };
  readonly #byCaller = new Map<string, Count>();

  constructor(most: number = MOST) {
    this.#most = most;
  }

  /** Take a request in; what the mailbox is full of, where it is. One that was taken in must leave. */
  enter({ caller, bytes }: BusRequest): string | undefined {
    const size = bytes?.length ?? 0;
    if (isFull(this.#all, size, this.#most, MOST_BYTES)) return textOf(this.#all);
    if (caller !== undefined) {
      const own = this.#byCaller.get(caller) ?? { requests: 0, bytes: 0 };
      if (isFull(own, size, Math.ceil(this.#most * SHARE), MOST_BYTES * SHARE)) return `${textOf(own)} of this caller`;
      this.#byCaller.set(caller, own);
      add(own, 1, size);
    }
    add(this.#all, 1, size);
    return undefined;
  }

  leave({ caller, bytes }: BusRequest): void {
    const size = bytes?.length ?? 0;
    add(this.#all, -1, -size);
    const own = caller === undefined ? undefined : this.#byCaller.get(caller);
    if (caller === undefined || own === undefined) return;
    add(own, -1, -size);
    if (own.requests === 0) this.#byCaller.delete(caller);
  }
}

/** One request is taken whatever its bytes. */
function isFull(count: Count, bytes: number, most: number, mostBytes: number): boolean {
  return count.requests >= most || (count.bytes > 0 && count.bytes + bytes > mostBytes);
}

function add(count: Count, requests: number, bytes: number): void {
  count.requests += requests;
  count.bytes += bytes;
}

function textOf({ requests, bytes }: Count): string {
  return `${requests} requests of ${bytes} bytes open`;
}
