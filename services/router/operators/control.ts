import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { OnSettled, Settlement } from '../queue/settlement.ts';
import type { Corrupt } from '../store/corrupt.ts';
import { loadMessage } from '../store/load.ts';
import type { Message } from '../store/message.ts';
import { keys, MessageRecord, parseRecord, putJson } from '../store/records.ts';
import type { Slot, Slots } from '../store/slots.ts';
import { type SelectionDeps, walkPage } from './selection.ts';
import type { Views } from './views.ts';

/**
 * What operators can do: retry, hold, release, remove. A domain selects whole messages: those with a recipient in it
 * that has no final status yet.
 *
 * The slot is changed first: from that moment no attempt begins that should not. Then the record is written, so that a
 * restart finds the same.
 */

export type Selection = { queueId: string } | { domain: string } | { all: true };

export type ControlDeps = SelectionDeps & {
  store: Store;
  slots: Slots;
  queue: Queue;
  corrupt: Corrupt;
  settlement: Settlement;
  onSettled: OnSettled;
  views: Views;
  log: Logger;
};

/** Messages read and written together. */
const BATCH = 500;

export class Control {
  readonly #deps: ControlDeps;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
  }

  /** Try deferred mail now, whatever its schedule says. Returns how many messages. */
  async retry(selection: Selection): Promise<number> {
    const { slots, queue } = this.#deps;
    let count = 0;
    for await (const slot of this.#select(selection)) {
      const waits = slot.message?.recipients.some((r) => !r.busy && r.status.state === 'deferred');
      if (slot.state === 'hold' || (slot.state === 'active' && waits !== true)) continue;
      slot.forced = true;
      slot.localTries = 0;
      slots.schedule.set(slot, performance.now());
      slots.move(slot, 'active');
      count++;
    }
    queue.pump();
    return this.#done('retry', selection, count);
  }

  /** Stop every attempt that has not begun. */
  async hold(selection: Selection): Promise<number> {
    let count = 0;
    await inBatches(this.#select(selection), async (slots) => {
      const held = slots.filter((slot) => slot.state !== 'hold');
      for (const slot of held) this.#stop(slot);
      await this.#write(held, true);
      count += held.length;
    });
    return this.#done('hold', selection, count);
  }

  /** Let held mail go; it is tried immediately. */
  async release(selection: Selection): Promise<number> {
    let count = 0;
    await inBatches(this.#select(selection), async (slots) => {
      const held = slots.filter((slot) => slot.state === 'hold');
      await this.#write(held, false);
      for (const slot of held) this.#resume(slot);
      this.#deps.queue.pump();
      count += held.length;
    });
    return this.#done('release', selection, count);
  }

  /** Remove mail for good; with `notify` the senders are told. A damaged message is removed by its id only. */
  async remove(selection: Selection, notify: boolean): Promise<number> {
    const { corrupt, queue } = this.#deps;
    let count = 0;
    if ('queueId' in selection && corrupt.has(selection.queueId)) {
      await corrupt.remove(selection.queueId);
      return this.#done('remove', selection, 1);
    }
    await inBatches(this.#select(selection), async (slots) => {
      const removed = await Promise.all(slots.map((slot) => this.#remove(slot, notify)));
      count += removed.filter(Boolean).length;
    });
    queue.pump();
    return this.#done('remove', selection, count);
  }

  async #remove(slot: Slot, notify: boolean): Promise<boolean> {
    const { queue, settlement, onSettled } = this.#deps;
    this.#stop(slot);
    const message = slot.message ?? (await this.#load(slot));
    if (message === undefined) return false;
    const written = await settlement.remove(message, notify);
    if (message.gone) queue.remove(slot, message);
    for (const notice of written.notices) queue.add(notice);
    await onSettled(slot, written);
    this.#resume(slot);
    return true;
  }

  async *#select(selection: Selection): AsyncGenerator<Slot> {
    const { slots, views } = this.#deps;
    if ('queueId' in selection) {
      const slot = slots.get(selection.queueId);
      if (slot === undefined) throw views.notFound(selection.queueId);
      yield slot;
    } else if ('domain' in selection) {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const page: Slot[] = [];
        after = await walkPage(this.#deps, { filter: { domain: selection.domain }, after }, (_, slot) => {
          return page.push(slot) >= BATCH;
        });
        yield* page;
      }
    } else {
      for (const slot of [...slots.all()]) if (slots.has(slot)) yield slot;
    }
  }

  /** From now on no attempt at this message begins. */
  #stop(slot: Slot): void {
    this.#deps.slots.move(slot, 'hold');
    this.#deps.slots.schedule.delete(slot);
    slot.parked = undefined;
  }

  #resume(slot: Slot): void {
    const { slots } = this.#deps;
    if (!slots.has(slot) || slot.state !== 'hold') return;
    slot.forced = true;
    slots.move(slot, 'active');
    slots.schedule.set(slot, performance.now());
  }

  /**
   * Write what was decided about held slots. A message that has left the queue since must not come back, so nothing is
   * awaited between the check and the write.
   */
  async #write(held: readonly Slot[], value: boolean): Promise<void> {
    const { store, slots, onSettled } = this.#deps;
    const read = await store.getMany(held.map((slot) => keys.message(slot.id)));
    const written: { slot: Slot; operation: StoreOperation }[] = [];
    for (const [n, slot] of held.entries()) {
      if (!slots.has(slot) || slot.state !== 'hold') continue;
      const record = slot.message?.record ?? this.#parse(slot, read[n]);
      if (record === undefined) continue;
      record.held = value;
      record.hold = value ? { by: 'operator', at: Date.now() } : undefined;
      written.push({ slot, operation: putJson(keys.message(slot.id), record) });
    }
    if (written.length === 0) return;
    await store.write(written.map(({ operation }) => operation));
    await Promise.all(
      written.map(({ slot, operation }) =>
        onSettled(slot, { id: slot.id, gone: false, operations: [operation], notices: [] }),
      ),
    );
  }

  #parse(slot: Slot, sealed: Buffer | undefined): MessageRecord | undefined {
    try {
      return parseRecord(MessageRecord, keys.message(slot.id), sealed);
    } catch (error) {
      this.#deps.corrupt.setAside(slot.id, error);
      return undefined;
    }
  }

  /** The message from the store; a damaged one is set aside. */
  async #load(slot: Slot): Promise<Message | undefined> {
    const { store, slots, corrupt } = this.#deps;
    try {
      return await loadMessage(store, slot.id);
    } catch (error) {
      if (errorCode(error) !== 'corrupt') throw error;
      if (slots.has(slot)) corrupt.setAside(slot.id, error);
      return undefined;
    }
  }

  #done(operation: string, selection: Selection, count: number): number {
    this.#deps.log.info({ operation, ...selection, count }, 'queue changed by an operator');
    return count;
  }
}

async function inBatches(slots: AsyncIterable<Slot>, work: (batch: Slot[]) => Promise<void>): Promise<void> {
  let batch: Slot[] = [];
  for await (const slot of slots) {
    if (batch.push(slot) < BATCH) continue;
    await work(batch);
    batch = [];
  }
  await work(batch);
}
