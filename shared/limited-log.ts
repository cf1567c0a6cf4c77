/**
 * Log lines that others can cause at any rate. For each key (a client, a caller) the first is written immediately; of
 * those that follow within `INTERVAL_MS` the last is written when that time is over, with their number in `count`.
 *
 * Memory: `MOST_KEYS` keys. Lines of further keys are counted together, and one of them is written.
 */

const INTERVAL_MS = 60_000;
const MOST_KEYS = 1000;

/** Fields for the line: none the first time, then how many like it there were. */
export type Repeated = { count?: number };
type Write = (repeated: Repeated) => void;
type Waiting = { count: number; write: Write; timer: NodeJS.Timeout };

export class LimitedLog {
  readonly #intervalMs: number;
  readonly #waiting = new Map<string, Waiting>();

  constructor(intervalMs: number = INTERVAL_MS) {
    this.#intervalMs = intervalMs;
  }

  say(key: string, write: Write): void {
    const known = this.#waiting.get(key) ?? (this.#waiting.size < MOST_KEYS ? undefined : this.#waiting.get(OTHERS));
    if (known !== undefined) {
      known.count++;
      known.write = write;
      return;
    }
    const kept = this.#waiting.size < MOST_KEYS ? key : OTHERS;
    const timer = setTimeout(() => this.#over(kept), this.#intervalMs).unref();
    this.#waiting.set(kept, { count: 0, write, timer });
    write({});
  }

  /** Write what waits. */
  close(): void {
    for (const key of this.#waiting.keys()) this.#over(key);
  }

  #over(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(key);
    if (waiting.count > 0) waiting.write({ count: waiting.count });
  }
}

/** No address, no service has this name. */
const OTHERS = '';
