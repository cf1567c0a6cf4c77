import type { Holder } from '../contract.ts';
import type { Step } from '../life/next-step.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { lateHolder } from './conditions.ts';

/**
 * The steps of one domain that could not be made, and when each is tried again: after 0.5 s, 1 s, 2 s … 30 s; at once
 * when somebody else changed the record; and one that waited for nodes to take over changes, as soon as they have.
 */

/** A clock that nobody sets: ms since whenever. `after` answers the way to cancel. */
export type Timer = { now(): number; after(ms: number, run: () => void): () => void };

export const systemTimer: Timer = {
  now: () => performance.now(),
  after(ms, run) {
    const timeout = setTimeout(run, ms).unref();
    return () => clearTimeout(timeout);
  },
};

const FIRST_MS = 500;
const LAST_MS = 30_000;

type Wait = {
  /** Of the store, at the first try. */
  revision: number;
  tries: number;
  /** Of the first failure, by the timer. */
  since: number;
  /** Not before, by the timer. */
  again: number;
  /** It waits for nodes that have yet to see `revision`. */
  late: boolean;
};

export class StepWaits {
  readonly #timer: Timer;
  readonly #waits = new Map<string, Wait>();
  /** The record as we saw or wrote it last. */
  #known: DomainRecord | undefined;

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** When the next wait is over, by the timer. */
  get next(): number {
    const now = this.#timer.now();
    const times = [...this.#waits.values()].map((w) => w.again);
    return Math.min(...times.filter((time) => time > now));
  }

  /** What the record is now. Where somebody else changed it, every step is open anew. */
  notice(record: DomainRecord): void {
    if (this.#waits.size === 0 || this.#known === record) return;
    if (JSON.stringify(record) !== JSON.stringify(this.#known)) this.#waits.clear();
    this.#known = record;
  }

  isOver(step: Step, live: readonly Holder[]): boolean {
    const wait = this.#waits.get(idOf(step));
    if (wait === undefined || wait.again <= this.#timer.now()) return true;
    return wait.late && lateHolder(live, wait.revision) === undefined;
  }

  /** A step is tried; `revision` is that of the store now. Answers that of the first try. */
  begin(step: Step, record: DomainRecord, revision: number): number {
    this.#known = record;
    return this.#wait(step, revision).revision;
  }

  /** It was made. */
  end(step: Step): void {
    this.#waits.delete(idOf(step));
  }

  /** It was not. `late`: because of nodes that have yet to see the revision. Answers for how long now, in ms. */
  fail(step: Step, revision: number, late: boolean): number {
    const now = this.#timer.now();
    const wait = this.#wait(step, revision);
    if (wait.tries === 0) wait.since = now;
    wait.again = now + Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(wait.tries, 10));
    wait.tries++;
    wait.late = late;
    return now - wait.since;
  }

  /** The record was written by us: no news. */
  wrote(record: DomainRecord): void {
    this.#known = record;
  }

  #wait(step: Step, revision: number): Wait {
    const id = idOf(step);
    const wait = this.#waits.get(id) ?? { revision, tries: 0, since: 0, again: 0, late: false };
    this.#waits.set(id, wait);
    return wait;
  }
}

const idOf = ({ kind, selectors }: Step): string => `${kind} ${selectors.join(',')}`;
