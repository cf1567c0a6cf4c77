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

/** The many have few fields, of eight bytes each: what is small shares one (`#bits`), which takes 24 bytes off each. */
export class Slot implements HeapItem {
  at = -1;
  readonly id: string;
  /** Whose mail it is (message.ts). */
  readonly sender: number;
  /** The congested destination that it waits for (queue/congestion.ts). */
  parked: string | undefined = undefined;
  /** Set while it is loaded. */
  message: Message | undefined = undefined;
  /** Where its second copy is. */
  copy: CopyPlace | undefined;
  /**
   * n: the number of the next hop that put off all that is left of it, while it is not in memory. -n: it waits for that next
   * hop to come back (queue/parking/parking.ts). 0: neither. Read only: `Slots.setHop` and `Slots.park` change it.
   */
  hop = 0;
  /** From the lowest: two bits of the state, `forced`, `inTurn`, and `localTries` in the rest. */
  #bits = 0;

  constructor(id: string, sender: number, copy: CopyPlace | undefined) {
    this.id = id;
    this.sender = sender;
    this.copy = copy;
  }

  get state(): SlotState {
    return STATES[this.#bits & STATE] ?? 'active';
  }

  /** For `Slots.move`, which counts. */
  set state(state: SlotState) {
    this.#bits = (this.#bits & ~STATE) | STATES.indexOf(state);
  }

  /** Try every recipient that is left, whether it is due or not. */
  get forced(): boolean {
    return (this.#bits & FORCED) !== 0;
  }

  set forced(forced: boolean) {
    this.#bits = forced ? this.#bits | FORCED : this.#bits & ~FORCED;
  }

  /** It is due and waits for room in memory (queue/turns.ts). */
  get inTurn(): boolean {
    return (this.#bits & IN_TURN) !== 0;
  }

  set inTurn(inTurn: boolean) {
    this.#bits = inTurn ? this.#bits | IN_TURN : this.#bits & ~IN_TURN;
  }

  /** Tries in a row that failed because of this node. */
  get localTries(): number {
    return this.#bits >> LOCAL_TRIES;
  }

  set localTries(tries: number) {
    this.#bits = (this.#bits & (LOCAL_TRY - 1)) | (tries * LOCAL_TRY);
  }
}

const STATES: readonly SlotState[] = ['active', 'deferred', 'hold'];
const STATE = 3;
const FORCED = 4;
const IN_TURN = 8;
const LOCAL_TRIES = 4;
const LOCAL_TRY = 1 << LOCAL_TRIES;

export class Slots {
  /**
   * When each slot is to be looked at next, by the monotonic clock (`performance.now`): a wall clock that steps back must
   * not stop the mail. Those that are not in it are not waiting for a time.
   */
  readonly schedule = new Heap<Slot>();
  readonly hops = new HopNumbers();
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
    const slot = new Slot(flat(id), sender, copy);
    slot.state = state;
    this.#slots.set(slot.id, slot);
    this.#counts[state]++;
    return slot;
  }

  move(slot: Slot, state: SlotState): void {
    if (slot.state === state || !this.has(slot)) return;
    this.#counts[slot.state]--;
    this.#counts[state]++;
    slot.state = state;
    if (state === 'hold') this.setHop(slot, '');
  }

  /** Note that it waits for a next hop, by its key, and for nothing else; '': that is not known. */
  setHop(slot: Slot, key: string): void {
    const before = Math.abs(slot.hop);
    slot.hop = key === '' || !this.has(slot) ? 0 : this.hops.use(key);
    this.hops.drop(before);
  }

  park(slot: Slot): void {
    slot.hop = -Math.abs(slot.hop);
  }

  has(slot: Slot): boolean {
    return this.#slots.get(slot.id) === slot;
  }

  remove(slot: Slot): void {
    this.schedule.delete(slot);
    this.setHop(slot, '');
    if (!this.has(slot)) return;
    this.#slots.delete(slot.id);
    this.#removed++;
    this.#counts[slot.state]--;
  }
}

/** Next hops with a number: where there are more, mail for the others is read when it is due. */
const MOST = 100_000;

/**
 * Numbers for the keys of next hops, so that each of a million messages has room for the one that it waits for. A number
 * is given again when nothing uses it any more.
 */
export class HopNumbers {
  readonly #numbers = new Map<string, number>();
  /** By number; 0 is none. */
  readonly #keys: (string | undefined)[] = [undefined];
  readonly #uses: number[] = [0];
  readonly #free: number[] = [];

  /** Next hops with a number. */
  get size(): number {
    return this.#numbers.size;
  }

  keyOf(number: number): string | undefined {
    return this.#keys[number];
  }

  /** The number of a key, in use once more; 0 where there are too many. */
  use(key: string): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      if (this.#numbers.size >= MOST) return 0;
      number = this.#free.pop() ?? this.#keys.length;
      this.#numbers.set(key, number);
      this.#keys[number] = key;
      this.#uses[number] = 0;
    }
    this.#uses[number] = (this.#uses[number] ?? 0) + 1;
    return number;
  }

  /** One of its uses is over. */
  drop(number: number): void {
    const key = this.#keys[number];
    if (key === undefined) return;
    const left = (this.#uses[number] ?? 0) - 1;
    this.#uses[number] = left;
    if (left > 0) return;
    this.#numbers.delete(key);
    this.#keys[number] = undefined;
    this.#free.push(number);
  }
}

const ID = Buffer.alloc(64);

/** The same id as a string of its own: a piece of a key would keep the key in memory. */
function flat(id: string): string {
  return id.length > ID.length ? id : ID.toString('latin1', 0, ID.write(id, 'latin1'));
}
