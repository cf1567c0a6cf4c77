/**
 * Time that passes only when nothing else is left to do: a simulated minute takes a moment, and every run is the same.
 */

type Event = { at: number; order: number; run: () => void };

export class VirtualTime {
  #now = 0;
  #order = 0;
  /** By time, then in the order in which they were asked for. */
  readonly #events: Event[] = [];
  readonly #settled: () => Promise<void>;

  /** `settled`: resolves when everything that follows from an event is done; by default, when no promise has anything left to do. */
  constructor(settled = () => new Promise<void>((resolve) => process.nextTick(resolve))) {
    this.#settled = settled;
  }

  /** ms since the beginning. */
  get now(): number {
    return this.#now;
  }

  /** Run something later; answers the way to cancel. */
  after(ms: number, run: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#order++, run };
    this.#push(event);
    return () => {
      event.run = () => undefined;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Let time pass up to `end`; everything that follows from an event is done before the next one. */
  async runUntil(end: number): Promise<void> {
    for (let event = this.#events[0]; event !== undefined && event.at <= end; event = this.#events[0]) {
      this.#pop();
      this.#now = event.at;
      event.run();
      await this.#settled();
    }
    this.#now = end;
  }

  /** A binary heap. */
  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      heap[parent] = event;
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? 2 * at + 2 : 2 * at + 1;
      const below = heap[child];
      if (below === undefined || !isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
