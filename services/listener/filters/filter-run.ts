import type { FilterConfig } from '#cluster/config/schema/filters/entry.ts';
import { SealpostError } from '#shared/errors.ts';
import { formatDuration } from '#shared/units.ts';
import type { Filter, FilterVerdict } from './filter.ts';
import { checkChanges } from './header-changes.ts';

/**
 * One message at one filter, within the limits of its entry in `filters`.
 *
 * States:
 * - `unopened`: no byte was shown; the first opens the filter
 * - `open`: bytes go to it. It keeps the message waiting when it is not ready for more, and after the end; of all that
 *   together it gets `timeout`
 * - `left`: the message is too large for it, it kept it waiting for too long, or nobody wants the verdict. It was aborted,
 *   gets nothing more and is always ready
 */

/** `too-large`: not shown, or not to its end. */
export type RunResult = FilterVerdict | 'too-large';

export class FilterRun {
  readonly config: FilterConfig;
  /** Called once when `ready` has become true again. */
  onReady: (() => void) | undefined;
  readonly #open: () => Filter;
  #filter: Filter | undefined;
  #size = 0;
  #left: SealpostError | 'too-large' | 'aborted' | undefined;
  #patience: number;
  #waiting: { since: number; timer: NodeJS.Timeout } | undefined;
  #expired: ((error: SealpostError) => void) | undefined;

  constructor(config: FilterConfig, open: () => Filter) {
    this.config = config;
    this.#open = open;
    this.#patience = config.timeout;
  }

  get ready(): boolean {
    return this.#left !== undefined || this.#filter === undefined || this.#filter.ready;
  }

  write(piece: Buffer): void {
    if (this.#left !== undefined) return;
    this.#size += piece.length;
    if (this.#size > this.config['max-size']) {
      this.#leave('too-large');
      return;
    }
    this.#opened().write(piece);
    if (!this.ready) this.#wait();
  }

  /** Rejects with `filter-failed`. */
  async finish(): Promise<RunResult> {
    if (this.#left === 'too-large') return 'too-large';
    if (this.#left instanceof SealpostError) throw this.#left;
    if (this.#left === 'aborted') throw notAsked();
    const filter = this.#opened();
    this.#wait();
    const expired = new Promise<never>((_, reject) => {
      this.#expired = reject;
    });
    try {
      const verdict = await Promise.race([filter.finish(), expired]);
      if (verdict.action === 'accept') checkChanges(verdict.changes);
      return verdict;
    } finally {
      this.#stopWaiting();
    }
  }

  abort(): void {
    this.#expired?.(notAsked());
    this.#leave('aborted');
  }

  #opened(): Filter {
    this.#filter ??= this.#open();
    return this.#filter;
  }

  #wait(): void {
    if (this.#waiting !== undefined || this.#filter === undefined) return;
    const timer = setTimeout(() => this.#expire(), Math.max(0, this.#patience));
    this.#waiting = { since: performance.now(), timer };
    this.#filter.onReady = () => {
      if (this.#expired === undefined) this.#stopWaiting();
      this.#notify();
    };
  }

  #stopWaiting(): void {
    if (this.#waiting === undefined) return;
    clearTimeout(this.#waiting.timer);
    this.#patience -= performance.now() - this.#waiting.since;
    this.#waiting = undefined;
  }

  #expire(): void {
    const limit = formatDuration(this.config.timeout);
    const what = this.#expired === undefined ? 'it does not take the message' : 'it gives no verdict';
    const error = new SealpostError('filter-failed', `${what}: the message has waited for it for ${limit}`);
    // Before the filter, aborted, rejects with less to say.
    this.#expired?.(error);
    this.#leave(error);
  }

  #leave(why: SealpostError | 'too-large' | 'aborted'): void {
    if (this.#left !== undefined) return;
    this.#left = why;
    this.#stopWaiting();
    this.#filter?.abort();
    this.#notify();
  }

  #notify(): void {
    const resume = this.onReady;
    this.onReady = undefined;
    resume?.();
  }
}

function notAsked(): SealpostError {
  return new SealpostError('filter-failed', 'the message was given up before its verdict');
}
