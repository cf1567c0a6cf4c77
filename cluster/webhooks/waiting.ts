import { timeOfQueueId } from '#shared/ids.ts';

/** An event that waits for a webhook. `key`: of its record; `body` is kept in memory where little waits. */
export type Entry = { readonly key: string; body: string | undefined; attempts: number };

/** The keys of events on disk: they sort by time, and name the webhook and the event. */
const PREFIX = 'webhook!';
export const EVENTS_RANGE = { gte: PREFIX, lt: 'webhook"' };
export const keyOf = (webhook: string, time: string, id: string): string => `${PREFIX}${webhook}!${time}!${id}`;
export const webhookIn = (key: string): string => key.split('!', 2)[1] ?? '';
const timeIn = (key: string): string => key.split('!', 3)[2] ?? '';
export const idIn = (key: string): string => key.split('!').slice(3).join('!');
/** When it was written, ms since 1970. */
export const momentIn = (key: string): number => timeOfQueueId(timeIn(key));

/**
 * The events that wait for one webhook, oldest first. One that was tried comes again when its own time is over, so that an
 * event that its receiver cannot take does not keep the others from it.
 */
export class Waiting {
  #ready: Entry[] = [];
  #head = 0;
  /** Tried before, with the time of `performance.now` when they are tried again. */
  readonly #later = new Map<Entry, number>();

  get size(): number {
    return this.#ready.length - this.#head + this.#later.size;
  }

  add(entry: Entry): void {
    this.#ready.push(entry);
  }

  addLater(entry: Entry, at: number): void {
    this.#later.set(entry, at);
  }

  take(): Entry | undefined {
    const entry = this.#ready[this.#head];
    if (entry === undefined) return undefined;
    this.#head++;
    if (this.#head > 1000 && this.#head * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** The one that is given up for room. */
  takeOldest(): Entry | undefined {
    const entry = this.take() ?? this.#later.keys().next().value;
    if (entry !== undefined) this.#later.delete(entry);
    return entry;
  }

  /** Make those ready whose time is over. */
  wake(now: number): void {
    for (const [entry, at] of this.#later) {
      if (at > now) continue;
      this.#later.delete(entry);
      this.#ready.push(entry);
    }
  }

  /** Take out what was written before that, ms since 1970. */
  takeBefore(time: number): Entry[] {
    const old: Entry[] = [];
    const isOld = ({ key }: Entry): boolean => momentIn(key) < time;
    for (;;) {
      const first = this.#ready[this.#head];
      if (first === undefined || !isOld(first)) break;
      old.push(first);
      this.take();
    }
    for (const entry of this.#later.keys()) {
      if (!isOld(entry)) continue;
      this.#later.delete(entry);
      old.push(entry);
    }
    return old;
  }

  /** When the oldest was written, ms since 1970. */
  get oldest(): number | undefined {
    const first = this.#ready[this.#head];
    const times = [first, ...this.#later.keys()].flatMap((entry) => (entry === undefined ? [] : [momentIn(entry.key)]));
    return times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b));
  }

  /** All of them, which do not wait any more. */
  takeAll(): Entry[] {
    const all = [...this.#ready.slice(this.#head), ...this.#later.keys()];
    this.#ready = [];
    this.#head = 0;
    this.#later.clear();
    return all;
  }
}
