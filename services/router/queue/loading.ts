import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Corrupt } from '../store/corrupt.ts';
import { loadMessage } from '../store/load.ts';
import type { Message } from '../store/message.ts';
import type { Slot, Slots } from '../store/slots.ts';

/** Reads messages from the store when their turn has come. Each is read once at a time. */

/** Messages that are read concurrently. */
const CONCURRENT = 32;
/** How soon to read again when the store fails. */
const AGAIN_MS = 1000;

export type LoadingDeps = { store: Store; slots: Slots; corrupt: Corrupt; log: Logger };

export class Loading {
  readonly #deps: LoadingDeps;
  readonly #onRead: (slot: Slot, message: Message) => void;
  readonly #onEnd: () => void;
  /** What is being read, each with a token of its reading. */
  readonly #readings = new Map<Slot, object>();

  /** `onEnd`: there is room for another one. */
  constructor(deps: LoadingDeps, onRead: (slot: Slot, message: Message) => void, onEnd: () => void) {
    this.#deps = deps;
    this.#onRead = onRead;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#readings.size;
  }

  get isFull(): boolean {
    return this.#readings.size >= CONCURRENT;
  }

  has(slot: Slot): boolean {
    return this.#readings.has(slot);
  }

  /** What is being read of this message is out of date. */
  forget(slot: Slot): void {
    this.#readings.delete(slot);
  }

  /** What is read twice at the same time could come after the outcome of an attempt, from before it: so it is not. */
  start(slot: Slot): void {
    if (!this.has(slot)) void this.#read(slot);
  }

  async #read(slot: Slot): Promise<void> {
    const { store, slots, corrupt, log } = this.#deps;
    const reading = {};
    this.#readings.set(slot, reading);
    const isCurrent = (): boolean => this.#readings.get(slot) === reading;
    try {
      const message = await loadMessage(store, slot.id);
      if (slots.has(slot) && isCurrent() && slot.state !== 'hold' && slot.message === undefined)
        this.#onRead(slot, message);
    } catch (error) {
      if (errorCode(error) === 'corrupt') {
        // One that has left meanwhile, with its records, is not damaged.
        if (slots.has(slot)) corrupt.setAside(slot.id, error);
      } else {
        const fields = { queueId: slot.id, error: errorText(error) };
        log.warn(fields, 'a queued message cannot be read now, it is tried again');
        if (slots.has(slot) && slot.state !== 'hold') slots.schedule.set(slot, performance.now() + AGAIN_MS);
      }
    } finally {
      if (isCurrent()) this.#readings.delete(slot);
      this.#onEnd();
    }
  }
}
