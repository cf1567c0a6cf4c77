import type { Slot } from '#services/router/slots.ts';

/**
 * Keeps one slow next hop from taking the place of all others: when the loaded messages near the limit, a next hop
 * that holds half of them or more gets no further ones. Those wait here, in order, and are handed back as its
 * attempts end.
 */

type Hop = { attempts: number; waiting: Slot[]; next: number };

/** Handed back for each attempt that ends: more than one, so that the next hop never runs dry. */
const AT_ONCE = 2;

export class Crowds {
  readonly #hops = new Map<string, Hop>();

  enter(key: string): void {
    const hop = this.#hops.get(key);
    if (hop === undefined) this.#hops.set(key, { attempts: 1, waiting: [], next: 0 });
    else hop.attempts++;
  }

  isFull(key: string, limit: number, loaded: number): boolean {
    return loaded >= limit * 0.75 && (this.#hops.get(key)?.attempts ?? 0) >= limit / 2;
  }

  park(key: string, slot: Slot): void {
    slot.parked = key;
    this.#hops.get(key)?.waiting.push(slot);
  }

  /** An attempt has ended. Returns the slots whose turn it is; some may have gone elsewhere meanwhile. */
  leave(key: string, limit: number): Slot[] {
    const hop = this.#hops.get(key);
    if (hop === undefined) return [];
    hop.attempts--;
    if (hop.waiting.length === hop.next) {
      if (hop.attempts === 0) this.#hops.delete(key);
      return [];
    }
    if (hop.attempts >= limit / 2) return [];
    const count = hop.attempts === 0 ? hop.waiting.length : AT_ONCE;
    const slots = hop.waiting.slice(hop.next, hop.next + count);
    hop.next += slots.length;
    // Cutting the front off moves everything behind it: seldom, so that it costs nothing on average.
    if (hop.next === hop.waiting.length || (hop.next > 1000 && hop.next * 2 > hop.waiting.length)) {
      hop.waiting.splice(0, hop.next);
      hop.next = 0;
    }
    return slots;
  }
}
