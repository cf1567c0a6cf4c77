import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { errorCode, errorText } from './errors.ts';

/**
 * The output of the log. Logging never stops mail: the output may be on a full disk, or a pipe whose reader stands still.
 *
 * - idle: no line waits.
 * - writing: one write is under way, and lines that come meanwhile wait for the next.
 * - paused: the output took nothing (a full pipe) or failed (a full disk); after a pause the same bytes are tried again.
 *
 * In every state a line is dropped and counted when `MOST_WAITING` characters wait; more lines are taken only when half
 * of that is written. Then `onDropped` hears how many are missing, so that what it logs stands in their place. Lines
 * that wait are never cut, and keep their order.
 */

/** Characters. About 4000 lines. */
const MOST_WAITING = 1024 * 1024;
const MOST_A_WRITE = 64 * 1024;
/** The pause after a full pipe, and after an error. */
const FULL_PAUSE_MS = 20;
const ERROR_PAUSE_MS = 500;
/** How long the end of the process may wait for an output that takes nothing. */
const FLUSH_MS = 500;
const TOLD_MS = 3_600_000;

/** What is missing from the log, and the last error of its output. */
export type Dropped = { lines: number; error: string };

export class LogOutput {
  readonly #fd: number;
  readonly #onDropped: (dropped: Dropped) => void;
  #lines: string[] = [];
  /** Characters of `#lines`. */
  #waiting = 0;
  /** What is being written. */
  #bytes: Buffer = Buffer.alloc(0);
  #writing = false;
  #pause: NodeJS.Timeout | undefined;
  #failed = false;
  #error = '';
  /** Lines dropped that `onDropped` has not heard of, and all. */
  #missing = 0;
  #dropped = 0;
  #droppedAt = 0;
  #flushed: (() => void)[] = [];

  /** `fd` does not block (`openOutput`). */
  constructor(fd: number, onDropped: (dropped: Dropped) => void) {
    this.#fd = fd;
    this.#onDropped = onDropped;
  }

  /** Lines dropped since the start, until `TOLD_MS` after the last: what is over need not be told for ever. */
  get dropped(): number {
    return performance.now() - this.#droppedAt > TOLD_MS ? 0 : this.#dropped;
  }

  /** Never waits, never throws. `line` has its line break. */
  write(line: string): void {
    // One line always finds room: only while others wait will something be written that makes more.
    if (this.#missing > 0 || (this.#waiting > 0 && this.#waiting + line.length > MOST_WAITING)) {
      this.#missing++;
      this.#dropped++;
      this.#droppedAt = performance.now();
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    if (!this.#writing && this.#pause === undefined) this.#next();
  }

  /** Call `done` when everything is written, or the output has taken nothing for too long. */
  flush(done: () => void): void {
    if (this.#idle || this.#failed) {
      done();
      return;
    }
    const timer = setTimeout(done, FLUSH_MS);
    this.#flushed.push(() => {
      clearTimeout(timer);
      done();
    });
  }

  /** Write what the output takes immediately: the process ends. */
  flushSync(): void {
    // What a write under way has taken is not known.
    if (this.#writing) this.#bytes = Buffer.alloc(0);
    try {
      for (this.#take(); this.#bytes.length > 0; this.#take()) {
        this.#bytes = this.#bytes.subarray(writeSync(this.#fd, this.#bytes));
      }
    } catch {
      // It takes nothing more, and there is nobody to tell.
    }
  }

  get #idle(): boolean {
    return !this.#writing && this.#bytes.length === 0 && this.#lines.length === 0;
  }

  /** Make the next bytes of the lines that wait, where none are left. */
  #take(): void {
    if (this.#bytes.length > 0) return;
    let count = 0;
    for (let length = 0; count < this.#lines.length && length < MOST_A_WRITE; count++) {
      length += this.#lines[count]?.length ?? 0;
    }
    const text = this.#lines.splice(0, count).join('');
    this.#waiting -= text.length;
    this.#bytes = Buffer.from(text);
  }

  #next(): void {
    this.#pause = undefined;
    this.#take();
    if (this.#bytes.length === 0) {
      for (const done of this.#flushed.splice(0)) done();
      return;
    }
    const bytes = this.#bytes;
    this.#writing = true;
    write(this.#fd, bytes, (error, count) => {
      this.#writing = false;
      if (error !== null) this.#refused(error);
      else this.#written(bytes, count);
    });
  }

  #written(bytes: Buffer, count: number): void {
    this.#failed = false;
    // Others after a `flushSync` meanwhile.
    if (bytes === this.#bytes) this.#bytes = bytes.subarray(count);
    if (this.#missing > 0 && this.#waiting <= MOST_WAITING / 2) {
      const lines = this.#missing;
      this.#missing = 0;
      // The line that says so must not begin a write of its own.
      this.#writing = true;
      this.#onDropped({ lines, error: this.#error });
      this.#writing = false;
    }
    this.#next();
  }

  #refused(error: NodeJS.ErrnoException): void {
    const full = errorCode(error) === 'EAGAIN';
    this.#failed = !full;
    this.#error = full ? 'its reader does not keep up' : errorText(error);
    this.#pause = setTimeout(() => this.#next(), full ? FULL_PAUSE_MS : ERROR_PAUSE_MS).unref();
  }
}

/**
 * The standard output for log lines. A write to a pipe or terminal that takes nothing would hold a thread of the process,
 * and its end, for ever. So these are opened once more without blocking, which changes nothing for others who have the
 * same open file (a shell, npm). Where that is not possible (a socket, the pipe of another user), it is the file itself,
 * which `process.stdout` makes non-blocking.
 */
export function openOutput({ fd }: { fd: 1 } = process.stdout): number {
  const stat = fstatSync(fd);
  if (!stat.isFIFO() && !stat.isCharacterDevice()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}
