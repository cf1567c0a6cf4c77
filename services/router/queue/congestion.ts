import { FairQueue } from '../delivery/fair-queue.ts';
import type { NextHop } from '../delivery/job.ts';
import type { Slot } from '../store/slots.ts';

/**
 * Keeps one slow destination from taking the place of all others. A destination is congested while it has as many
 * attempts under way as the queue allows it: for a next hop half of the queue's limit, or a few before its first
 * connection while others need the room, for a destination with a rate (`rates.destinations`) a few seconds' worth. Mail for it is parked here then,
 * and handed back as its attempts end, one sender after the other.
 */

/** Messages for a destination that has no connection yet, where others need the room. */
export const UNREACHED = 4;

/** Where a message is parked: before its next hop, or before the limit of its destination. */
export function congestionKey({ key, limit }: NextHop): string {
  return limit === undefined ? key : `${LIMIT}${limit}`;
}

const LIMIT = 'limit ';

/** Whether a key is that of a limit: what is parked there waits for its turn at a rate. */
export const isPaced = (key: string): boolean => key.startsWith(LIMIT);

type Bottleneck = {
  attempts: number;
  /** Slots that were handed back, and are not in memory yet: nothing else takes their room. */
  called: number;
  /** One of them found a connection. */
  reached: boolean;
  readonly waiting: FairQueue<Slot>;
  /** Those whose turn it was when there was no room after all: they come first, in turns with senders of which nothing waited. */
  readonly again: FairQueue<Slot>;
  /** The last one that was handed back is one of those. */
  lastWasAgain: boolean;
  /** All that wait. */
  readonly members: Set<Slot>;
};

/** Handed back for an attempt that ends, where more room is left: some of those before may have left the queue. */
const HANDED_BACK = 2;

export class Congestion {
  readonly #bottlenecks = new Map<string, Bottleneck>();
  /** Slots that were handed back, and not looked at since. */
  readonly #called = new WeakMap<Slot, Bottleneck>();

  attemptStarted(key: string): void {
    const known = this.#bottlenecks.get(key);
    if (known !== undefined) known.attempts++;
    else this.#bottlenecks.set(key, newBottleneck());
  }

  attemptOpened(key: string): void {
    const bottleneck = this.#bottlenecks.get(key);
    if (bottleneck !== undefined) bottleneck.reached = true;
  }

  /** Whether an attempt found a connection, since there was none under way. */
  isReached(key: string): boolean {
    return this.#bottlenecks.get(key)?.reached === true;
  }

  /** Whether there is no room: for a slot that was handed back its own is kept. */
  isFull(key: string, most: number, slot?: Slot): boolean {
    const bottleneck = this.#bottlenecks.get(key);
    if (bottleneck === undefined) return most <= 0;
    const isCalled = slot !== undefined && this.#called.get(slot) === bottleneck;
    return bottleneck.attempts + (isCalled ? 0 : bottleneck.called) >= most;
  }

  /** Whether room is kept for a slot that was handed back: there is none for each when all of them are. */
  hasRoom(slot: Slot): boolean {
    return (this.#called.get(slot)?.attempts ?? 0) > 0;
  }

  /** A slot that was handed back has been looked at, or will not be: its room is not kept any longer. */
  answered(slot: Slot): void {
    const bottleneck = this.#called.get(slot);
    if (bottleneck === undefined) return;
    bottleneck.called--;
    this.#called.delete(slot);
  }

  /** Wait for `key`. A slot that waits for it already keeps its place. */
  park(key: string, slot: Slot): void {
    slot.parked = key;
    const bottleneck = this.#bottlenecks.get(key);
    if (bottleneck === undefined || bottleneck.members.has(slot)) return;
    bottleneck.members.add(slot);
    if (this.#called.has(slot)) bottleneck.again.push(slot, slot.sender);
    else bottleneck.waiting.push(slot, slot.sender);
  }

  /** Returns the slots whose turn it is: all of them when no attempt is left whose end would call them. */
  attemptEnded(key: string, most: number): Slot[] {
    const bottleneck = this.#bottlenecks.get(key);
    if (bottleneck === undefined) return [];
    bottleneck.attempts--;
    if (bottleneck.attempts >= most) return [];
    const slots: Slot[] = [];
    const isLast = bottleneck.attempts === 0;
    const room = Math.min(Math.max(most - bottleneck.attempts - bottleneck.called, 1), HANDED_BACK);
    while (slots.length < (isLast ? Number.POSITIVE_INFINITY : room)) {
      const slot = next(bottleneck);
      if (slot === undefined) break;
      bottleneck.members.delete(slot);
      // Some were removed, held, or called by another destination meanwhile.
      if (slot.parked === undefined) continue;
      this.answered(slot);
      this.#called.set(slot, bottleneck);
      bottleneck.called++;
      slots.push(slot);
    }
    if (bottleneck.attempts === 0) this.#bottlenecks.delete(key);
    return slots;
  }
}

function newBottleneck(): Bottleneck {
  const queues = { waiting: new FairQueue<Slot>(), again: new FairQueue<Slot>(), lastWasAgain: false };
  return { attempts: 1, called: 0, reached: false, ...queues, members: new Set() };
}

/** Whose turn it is: a single message of another sender passes those that come again, and may be many. */
function next(bottleneck: Bottleneck): Slot | undefined {
  const { waiting, again, lastWasAgain } = bottleneck;
  const slot = lastWasAgain && waiting.hasFresh ? undefined : again.shift();
  bottleneck.lastWasAgain = slot !== undefined;
  return slot ?? waiting.shift();
}
