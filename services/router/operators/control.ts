import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { QueueChange } from '#shared/queue/change.ts';
import { oneLine } from '#shared/text.ts';
import type { Queue } from '../queue/queue.ts';
import type { OnSettled, Settlement } from '../queue/settling/settlement.ts';
import type { Corrupt } from '../store/corrupt.ts';
import { loadMessage } from '../store/load.ts';
import type { Message } from '../store/message.ts';
import { keys, MessageRecord, parseRecord, putJson } from '../store/records.ts';
import type { Slot, Slots } from '../store/slots.ts';
import {
  type ChangePage,
  type ChangeRequest,
  CONCERNS,
  isArchiveCopy,
  isMail,
  isRemoval,
  type Selection,
  viaOf,
} from './change.ts';
import { type SelectionDeps, walkPage } from './selection.ts';
import type { Views } from './views.ts';

/**
 * What operators do with mail, a page of it at a time. A page is one write, and what it has done is not selected again, so that
 * whoever was interrupted asks once more for the same. A filter selects whole messages.
 *
 * The slot is changed first: from that moment no attempt begins that should not. Then the record is written, so that a
 * restart finds the same.
 */

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

/** Messages of a page. Of those that are returned, the start is in memory meanwhile, for the notices. */
const MOST = 500;
const MOST_RETURNED = 200;

export class Control {
  readonly #deps: ControlDeps;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
  }

  /** A page of the mail that the filter means, or with `dryRun` its count. */
  async change(request: ChangeRequest): Promise<ChangePage> {
    const { operation, filter, dryRun, after, until = Date.now() } = request;
    const via = viaOf(request);
    const most = dryRun ? Number.POSITIVE_INFINITY : operation === 'bounce' ? MOST_RETURNED : MOST;
    const missing = this.#missing(request);
    const selected: Slot[] = [];
    const sparesCopies = filter.ids === undefined && isRemoval(operation);
    const walk = { filter, after, wants: CONCERNS[operation], ...(sparesCopies && { of: isMail }) };
    const next = await walkPage(this.#deps, walk, (message, slot) => {
      const { record } = slot.message ?? message;
      if (filter.ids === undefined && record.arrived > until) return false;
      if (operation === 'reroute' && record.via === via) return false;
      if (sparesCopies && isArchiveCopy(message)) return false;
      // Nobody can be told, and a report of this operation must not be returned when it goes on.
      if (operation === 'bounce' && record.reversePath === '') return false;
      return selected.push(slot) >= most;
    });
    const damaged = await this.#removeDamaged(request);
    const count = damaged + (dryRun ? selected.length : await this.#apply(request, selected));
    if (!dryRun && count > 0) this.#log(request, count);
    return { count, until, ...(next !== undefined && { next }), ...(missing.length > 0 && { missing }) };
  }

  /** All pages, for what the version before asks. Throws `not-found`. */
  async changeAll(operation: QueueChange, selection: Selection, notify = false): Promise<number> {
    const filter =
      'queueId' in selection ? { ids: [selection.queueId] } : 'domain' in selection ? { domain: selection.domain } : {};
    const request = { operation, filter, by: 'a command of the version before', dryRun: false, notify };
    let { count, until, next, missing } = await this.change(request);
    for (const { id } of missing ?? []) throw this.#deps.views.notFound(id);
    while (next !== undefined) {
      const page: ChangePage = await this.change({ ...request, until, after: next });
      count += page.count;
      next = page.next;
    }
    return count;
  }

  #apply({ operation, via, reason, notify }: ChangeRequest, slots: readonly Slot[]): Promise<number> {
    switch (operation) {
      case 'retry':
        return this.#retry(slots);
      case 'hold':
        return this.#hold(slots);
      case 'release':
        return this.#release(slots);
      case 'remove':
      case 'bounce':
        return this.#remove(slots, {
          notify: operation === 'bounce' || notify === true,
          reason: reason && oneLine(reason, 500),
        });
      case 'reroute':
        return this.#reroute(slots, viaOf({ operation, via }));
    }
  }

  /** Try deferred mail now, whatever its schedule says. */
  #retry(slots: readonly Slot[]): Promise<number> {
    for (const slot of slots) slot.localTries = 0;
    return this.#rewriteAndTry(slots, () => undefined);
  }

  /** Stop every attempt that has not begun. */
  async #hold(slots: readonly Slot[]): Promise<number> {
    const held = { by: 'operator' as const, at: Date.now() };
    return (await this.#rewrite(slots, (record) => Object.assign(record, { held: true, hold: held }))).length;
  }

  /** Let held mail go; it is tried immediately. */
  async #release(slots: readonly Slot[]): Promise<number> {
    const released = await this.#rewrite(slots, (record) => {
      record.held = false;
      record.retry = Date.now();
      delete record.hold;
    });
    for (const slot of released) if (slot.state === 'hold') this.#wake(slot);
    this.#deps.queue.pump();
    return released.length;
  }

  /** Send mail another way, immediately; what is held stays so. */
  #reroute(slots: readonly Slot[], via: string | undefined): Promise<number> {
    return this.#rewriteAndTry(slots, (record) => {
      if (via === undefined) delete record.via;
      else record.via = via;
    });
  }

  /** Change records of mail, which is tried immediately then, after a restart too; what is held stays so. */
  async #rewriteAndTry(slots: readonly Slot[], change: (record: MessageRecord) => void): Promise<number> {
    const waiting = slots.filter((slot) => slot.state !== 'hold');
    try {
      const changed = await this.#rewrite(slots, (record) => {
        change(record);
        record.retry = Date.now();
      });
      return changed.length;
    } finally {
      for (const slot of waiting) {
        // A reading that began before the write may end after it.
        this.#deps.queue.forgetReading(slot);
        if (this.#deps.slots.has(slot)) this.#wake(slot);
      }
      this.#deps.queue.pump();
    }
  }

  /** Remove mail for good; with `notify` the senders are told. */
  async #remove(slots: readonly Slot[], how: { notify: boolean; reason: string | undefined }): Promise<number> {
    const { queue, settlement, onSettled } = this.#deps;
    for (const slot of slots) this.#stop(slot);
    const loaded = await Promise.all(
      slots.map(async (slot) => ({ slot, message: slot.message ?? (await this.#load(slot)) })),
    );
    const there = loaded.flatMap(({ slot, message }) => (message === undefined ? [] : [{ slot, message }]));
    const all = await settlement.remove(
      there.map(({ message }) => message),
      how,
    );
    const removed = there.flatMap((one, n) => (all[n] === undefined ? [] : [{ ...one, written: all[n] }]));
    for (const { slot, message, written } of removed) {
      if (message.gone) queue.remove(slot, message);
      for (const notice of written.notices) queue.add(notice);
    }
    await Promise.all(removed.map(({ slot, written }) => onSettled(slot, written)));
    // The copy for an archive is left.
    for (const { slot } of removed) if (this.#deps.slots.has(slot) && slot.state === 'hold') this.#wake(slot);
    queue.pump();
    return removed.length;
  }

  /** From now on no attempt at this message begins. */
  #stop(slot: Slot): void {
    this.#deps.slots.move(slot, 'hold');
    this.#deps.slots.schedule.delete(slot);
    slot.parked = undefined;
  }

  #wake(slot: Slot): void {
    const { slots } = this.#deps;
    slot.forced = true;
    slots.move(slot, 'active');
    slots.schedule.set(slot, performance.now());
  }

  /**
   * Stop these messages and change their records, in one write. Resolves to those that are still in the queue. A message that
   * attempts are at is changed in memory as well, and the records of the others are read once nothing else writes them. Nothing
   * is awaited between that look and the write: what has left the queue must not come back.
   */
  async #rewrite(stopped: readonly Slot[], change: (record: MessageRecord) => void): Promise<Slot[]> {
    const { store, slots, onSettled } = this.#deps;
    for (const slot of stopped) this.#stop(slot);
    const loaded = stopped.map(({ message }) => message);
    const read = await store.getMany(stopped.map((slot) => keys.message(slot.id)));
    const written: { slot: Slot; operation: StoreOperation }[] = [];
    for (const [n, slot] of stopped.entries()) {
      if (!slots.has(slot) || slot.state !== 'hold') continue;
      const message = slot.message ?? loaded[n];
      const record = message?.record ?? this.#parse(slot, read[n]);
      // What ended it meanwhile is written first, and takes its records away.
      if (record === undefined || message?.gone === true) continue;
      change(record);
      written.push({ slot, operation: putJson(keys.message(slot.id), record) });
    }
    if (written.length === 0) return [];
    await store.write(written.map(({ operation }) => operation));
    await Promise.all(
      written.map(({ slot, operation }) =>
        onSettled(slot, { id: slot.id, gone: false, operations: [operation], notices: [] }),
      ),
    );
    return written.map(({ slot }) => slot).filter((slot) => slots.has(slot));
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

  /** A damaged message is removed by its id only. */
  async #removeDamaged({ operation, filter, dryRun, after }: ChangeRequest): Promise<number> {
    const { corrupt } = this.#deps;
    if (after !== undefined || !isRemoval(operation)) return 0;
    const damaged = (filter.ids ?? []).filter((id) => corrupt.has(id));
    if (!dryRun) for (const id of damaged) await corrupt.remove(id);
    return damaged.length;
  }

  /** Of the ids that are named, those of no message that could be changed here. */
  #missing({ filter, operation, after }: ChangeRequest): { id: string; reason: string }[] {
    const { slots, corrupt, views } = this.#deps;
    const ids = after === undefined ? (filter.ids ?? []) : [];
    const isHere = (id: string): boolean => slots.get(id) !== undefined || (isRemoval(operation) && corrupt.has(id));
    return ids.filter((id) => !isHere(id)).map((id) => ({ id, reason: views.notFound(id).message }));
  }

  #log({ operation, filter, via, by, reason }: ChangeRequest, count: number): void {
    this.#deps.log.info({ operation, ...filter, via, by, reason, count }, 'queue changed by an operator');
  }
}
