import type { Holder } from '#shared/keys/holders.ts';
import type { Transition } from '../life/next-transition.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { lateHolder } from './nodes.ts';

/**
 * The transitions of one domain that could not be made, and when each is tried again: after 0.5 s, 1 s, 2 s … 30 s;
 * immediately when another node or an administrator changes the record; and one that waits until nodes have seen a
 * revision, as soon as they have. One that needs a person is tried every 10 minutes: that person may mend a name server
 * and never think of us.
 */

/** A monotonic clock: ms since any time. `after` returns a function that cancels. */
export type Timer = { now(): number; after(ms: number, run: () => void): () => void };

export const systemTimer: Timer = {
  now: () => performance.now(),
  after(ms, run) {
    const timeout = setTimeout(run, ms).unref();
    return () => clearTimeout(timeout);
  },
};

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
const PERMANENT_RETRY_MS = 600_000;

/** Times are those of the timer. */
type Wait = {
  /** Of the store, at the first try. */
  revision: number;
  tries: number;
  firstFailure: number;
  retryAt: number;
  /** It waits for nodes that have yet to see `revision`. */
  late: boolean;
};

export class TransitionWaits {
  readonly #timer: Timer;
  readonly #waits = new Map<string, Wait>();
  /** The record as this process saw or wrote it last. */
  #known: DomainRecord | undefined;

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** When the next wait is over, by the timer. */
  get next(): number {
    const now = this.#timer.now();
    const times = [...this.#waits.values()].map((w) => w.retryAt);
    return Math.min(...times.filter((time) => time > now));
  }

  /** The record as it is now. Where another writer changed it, every wait is over. */
  notice(record: DomainRecord): void {
    if (this.#waits.size === 0 || this.#known === record) return;
    if (JSON.stringify(record) !== JSON.stringify(this.#known)) this.#waits.clear();
    this.#known = record;
  }

  /** Every wait is over. */
  clear(): void {
    this.#waits.clear();
  }

  isOver(transition: Transition, live: readonly Holder[]): boolean {
    const wait = this.#waits.get(idOf(transition));
    if (wait === undefined || wait.retryAt <= this.#timer.now()) return true;
    return wait.late && lateHolder(live, wait.revision) === undefined;
  }

  /** A transition is tried; `revision` is that of the store now. Returns that of the first try. */
  begin(transition: Transition, record: DomainRecord, revision: number): number {
    this.#known = record;
    return this.#wait(transition, revision).revision;
  }

  /** The transition was made. */
  end(transition: Transition): void {
    this.#waits.delete(idOf(transition));
  }

  /**
   * The transition failed; `late`: because some nodes have yet to see the revision; `permanent`: it needs a person. Returns
   * ms since the first failure.
   */
  fail(transition: Transition, revision: number, { late, permanent }: { late: boolean; permanent: boolean }): number {
    const now = this.#timer.now();
    const wait = this.#wait(transition, revision);
    if (wait.tries === 0) wait.firstFailure = now;
    const backoffMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(wait.tries, 10));
    wait.retryAt = now + (permanent ? PERMANENT_RETRY_MS : backoffMs);
    wait.tries++;
    wait.late = late;
    return now - wait.firstFailure;
  }

  /** This process wrote the record: that ends no wait. */
  wrote(record: DomainRecord): void {
    this.#known = record;
  }

  #wait(transition: Transition, revision: number): Wait {
    const id = idOf(transition);
    const wait = this.#waits.get(id) ?? { revision, tries: 0, firstFailure: 0, retryAt: 0, late: false };
    this.#waits.set(id, wait);
    return wait;
  }
}

const idOf = ({ kind, selectors }: Transition): string => `${kind} ${selectors.join(',')}`;
