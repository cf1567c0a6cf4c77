import { Heap, type HeapItem } from './heap.ts';
import type { Message } from './message.ts';
import type { CopyPlace } from './records.ts';

/**
 * Every message of the queue, by id: a few words each, so that a queue of a million fits in memory while the
 * messages lie on disk.
 *
 * States of a slot:
 *   active     delivery works on it, or will as soon as there is room.
 *   deferred   every recipient that is left waits for a later attempt.
 *   hold       an operator, or a filter of the listener, stopped it: it is not in the schedule until an operator releases it.
 */
export type SlotState = 'active' | 'deferred' | 'hold';

export type Slot = HeapItem & {
  readonly id: string;
  /** Read only: `Slots.move` changes it. */
  state: SlotState;
  /** Tries in a row that failed because of this node. */
  localTries: number;
  /** Try every recipient that is left, whether it is due or not. */
  forced: boolean;
  /** The congested destination that it waits for (queue/congestion.ts). */
  parked: string | undefined;
  /** Set while it is loaded. */
  message: Message | undefined;
  /** Where its second copy is. */
  copy: CopyPlace | undefined;
  /** It is due and waits for room in memory (queue/turns.ts). */
  inTurn: boolean;
  /** Whose mail it is (message.ts). */
  readonly sender: number;
};

export class Slots {
  /**
   * When each slot is to be looked at next, by the monotonic clock (`performance.now`): a wall clock that steps back must
   * not stop the mail. Those that are not in it are not waiting for a time.
   */
  readonly schedule = new Heap<Slot>();
  readonly #slots = new Map<string, Slot>();
  #removed = 0;
  readonly #counts: Record<SlotState, number> = { active: 0, deferred: 0, hold: 0 };

  get counts(): Readonly<Record<SlotState, number>> {
    return this.#counts;
  }

  /** Messages that have left the queue since the start. */
  get removed(): number {
    return this.#removed;
  }

  get(id: string): Slot | undefined {
    return this.#slots.get(id);
  }

  all(): IterableIterator<Slot> {
    return this.#slots.values();
  }

  add(id: string, state: SlotState, copy?: CopyPlace, sender = 0): Slot {
    const slot: Slot = {
      at: -1,
      id: flat(id),
      state,
      localTries: 0,
      forced: false,
      parked: undefined,
      message: undefined,
      copy,
      inTurn: false,
      sender,
    };
    this.#slots.set(slot.id, slot);
    this.#counts[state]++;
    return slot;
  }

  move(slot: Slot, state: SlotState): void {
    if (slot.state === state || !this.has(slot)) return;
    this.#counts[slot.state]--;
    this.#counts[state]++;
    slot.state = state;
  }

  has(slot: Slot): boolean {
    return this.#slots.get(slot.id) === slot;
  }

  remove(slot: Slot): void {
    this.schedule.delete(slot);
    if (!this.has(slot)) return;
    this.#slots.delete(slot.id);
    this.#removed++;
    this.#counts[slot.state]--;
  }
}

const ID = Buffer.alloc(64);

/** The same id as a string of its own: a piece of a key would keep the key in memory. */
function flat(id: string): string {
  return id.length > ID.length ? id : ID.toString('latin1', 0, ID.write(id, 'latin1'));
}
