import type { Slot } from '#services/router/slots.ts';

/**
 * Keeps one slow destination from taking the place of all others: one that has as many attempts under way as it may have
 * gets no further ones. What is for it waits here, in order, and is handed back as its attempts end. How many it may have
 * the queue says: for a next hop half of its limit, while the loaded messages near that; for a destination with a rate
 * (`rates.destinations`) a few seconds' worth.
 */

type Hop = {
  attempts: number;
  waiting: Slot[];
  next: number;
  /** Those whose turn it was when there was no room after all: they come first. */
  again: Slot[];
  /** All that wait. */
  members: Set<Slot>;
};

/** Handed back for each attempt that ends: more than one, so that the destination never runs dry. */
const AT_ONCE = 2;

export class Crowds {
  readonly #hops = new Map<string, Hop>();
  /** Slots that were handed back. */
  readonly #called = new WeakSet<Slot>();

  enter(key: string): void {
    const hop = this.#hops.get(key);
    if (hop === undefined) this.#hops.set(key, { attempts: 1, waiting: [], next: 0, again: [], members: new Set() });
    else hop.attempts++;
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
    if (this.#called.has(slot)) hop.again.push(slot);
    else hop.waiting.push(slot);
  }

  /** An attempt has ended. Returns the slots whose turn it is. */
  leave(key: string, most: number): Slot[] {
    const hop = this.#hops.get(key);
    if (hop === undefined) return [];
    hop.attempts--;
    if (hop.members.size === 0) {
      if (hop.attempts === 0) this.#hops.delete(key);
      return [];
    }
    if (hop.attempts >= most) return [];
    const slots = next(hop, hop.attempts === 0 ? Math.max(AT_ONCE, most) : AT_ONCE);
    for (const slot of slots) this.#called.add(slot);
    if (slots.length === 0 && hop.attempts === 0) this.#hops.delete(key);
    return slots;
  }
}

/** The next slots that still wait: some were removed, held, or woken elsewhere. */
function next(hop: Hop, count: number): Slot[] {
  const slots: Slot[] = [];
  while (slots.length < count) {
    const slot = hop.again.shift() ?? hop.waiting[hop.next++];
    if (slot === undefined) break;
    hop.members.delete(slot);
    if (slot.parked !== undefined) slots.push(slot);
  }
  // Cutting the front off moves everything behind it: seldom, so that it costs nothing on average.
  if (hop.next >= hop.waiting.length || (hop.next > 1000 && hop.next * 2 > hop.waiting.length)) {
    hop.waiting.splice(0, hop.next);
    hop.next = 0;
  }
  return slots;
}
