import { Fifo } from '../delivery/fifo.ts';
import type { Slot } from '../store/slots.ts';

/**
 * Keeps one slow destination from taking the place of all others: one that has as many attempts under way as it may have
 * gets no further ones. What is for it waits here, in order, and is handed back as its attempts end. How many it may have
 * the queue says: for a next hop half of its limit, while the loaded messages near that; for a destination with a rate
 * (`rates.destinations`) a few seconds' worth.
 */

type Hop = {
  attempts: number;
  readonly waiting: Fifo<Slot>;
  /** Those whose turn it was when there was no room after all: they come first. */
  readonly again: Fifo<Slot>;
  /** All that wait. */
  readonly members: Set<Slot>;
};

/** Handed back for each attempt that ends: more than one, so that the destination never runs dry. */
const AT_ONCE = 2;

export class Crowds {
  readonly #hops = new Map<string, Hop>();
  /** Slots that were handed back. */
  readonly #called = new WeakSet<Slot>();

  enter(key: string): void {
    const hop = this.#hops.get(key);
    if (hop !== undefined) hop.attempts++;
    else this.#hops.set(key, { attempts: 1, waiting: new Fifo(), again: new Fifo(), members: new Set() });
  }

  isFull(key: string, most: number): boolean {
    return (this.#hops.get(key)?.attempts ?? 0) >= most;
  }

  /** Wait for `key`. A slot that waits for it already keeps its place. */
  park(key: string, slot: Slot): void {
    slot.parked = key;
    const hop = this.#hops.get(key);
    if (hop === undefined || hop.members.has(slot)) return;
    hop.members.add(slot);
    (this.#called.has(slot) ? hop.again : hop.waiting).push(slot);
  }

  /** An attempt has ended. Returns the slots whose turn it is: all when none is under way, who else would call them? */
  leave(key: string, most: number): Slot[] {
    const hop = this.#hops.get(key);
    if (hop === undefined) return [];
    hop.attempts--;
    if (hop.attempts >= most) return [];
    const slots: Slot[] = [];
    const count = hop.attempts === 0 ? Number.POSITIVE_INFINITY : AT_ONCE;
    while (slots.length < count) {
      const slot = hop.again.shift() ?? hop.waiting.shift();
      if (slot === undefined) break;
      hop.members.delete(slot);
      // Some were removed, held, or called by another destination meanwhile.
      if (slot.parked === undefined) continue;
      this.#called.add(slot);
      slots.push(slot);
    }
    if (hop.attempts === 0) this.#hops.delete(key);
    return slots;
  }
}
