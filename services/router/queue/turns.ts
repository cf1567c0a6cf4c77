import { FairQueue, Fifo } from '../delivery/fair-queue.ts';
import type { Slot, Slots } from '../store/slots.ts';
import type { Admission } from './parking/admission.ts';

/** Messages that are due and wait for room in memory, one sender after the other. */

/** Taken out of the schedule at a time: where very many are due, the rest follows in a moment. */
const GATHERED = 2000;

export class Turns {
  readonly #slots: Slots;
  readonly #waiting = new FairQueue<Slot>();
  /** Those that waited for their next hop, which has room for them now. */
  readonly #admitted = new Fifo<Slot>();

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** Some of them may have left the queue, or are held. */
  get length(): number {
    return this.#waiting.length + this.#admitted.length;
  }

  push(slot: Slot): void {
    if (this.#takes(slot)) this.#waiting.push(slot, slot.sender);
  }

  /** It comes before all that wait: its room is kept, and very much may be read only to find none. */
  admit(slot: Slot): void {
    if (this.#takes(slot)) this.#admitted.push(slot);
  }

  #takes(slot: Slot): boolean {
    this.#slots.schedule.delete(slot);
    this.#slots.move(slot, 'active');
    if (slot.inTurn) return false;
    slot.inTurn = true;
    return true;
  }

  /**
   * Take what is due out of the schedule, unless it is parked for its next hop; when to do it again, Infinity where nothing
   * is left there.
   */
  gather(now: number, admission: Admission): number {
    const { schedule } = this.#slots;
    for (let n = 0; n < GATHERED && schedule.first <= now; n++) {
      const slot = schedule.peek();
      if (slot !== undefined && !admission.takes(slot, now)) this.push(slot);
    }
    return schedule.first;
  }

  next(): Slot | undefined {
    for (let slot = this.#first(); slot !== undefined; slot = this.#first()) {
      slot.inTurn = false;
      if (this.#slots.has(slot) && slot.state !== 'hold') return slot;
    }
    return undefined;
  }

  #first(): Slot | undefined {
    return this.#admitted.shift() ?? this.#waiting.shift();
  }
}
