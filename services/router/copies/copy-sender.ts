import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { MessageToWrite, MessageWriter } from '../intake/writer.ts';
import type { Written } from '../queue/settling/settlement.ts';
import { type CopyPlace, keys, type MessageRecord, putJson } from '../store/records.ts';
import { payloadOf } from '../store/seal.ts';
import type { Slot, Slots } from '../store/slots.ts';
import type { Outbox } from './outbox.ts';
import type { Pairs } from './pairs.ts';
import { type NewMessage, sendNew, sendStored } from './sending.ts';

/**
 * Makes sure that a message is on two disks, and that the second copy follows the first.
 *
 * commit   A message that is being accepted is written to the other disk, then to this one, and is accepted when both have
 *          it. Where one holder fails, another one is tried. This node may die at any moment: a message on its disk that
 *          names a holder without a copy would be lost when that takes the rest over (overtaken.ts).
 * settled  What an attempt, or an operator, changed on this node is changed in the copy. The caller waits for that, but
 *          not for long: so at most one message for each connection was delivered and is undelivered in its copy.
 * ensure   A message that has no copy (its holder is gone, it was taken over, it is a notice) gets one.
 *
 * The copy comes first, then the record on this node that names its place; once that is known, delivery needs the
 * lease.
 */

/** How long the end of an attempt waits for the copy to follow. */
const FOLLOW_MS = 2000;
/** Messages that get their copy concurrently. */
const CONCURRENT_COPIES = 8;

export type CopySenderDeps = {
  settings: Settings;
  store: Store;
  slots: Slots;
  pairs: Pairs;
  log: Logger;
  /** A message got a copy, and the holder has taken over meanwhile: the copy is in its queue. */
  onOvertaken: (slot: Slot) => void;
  /** A record of a message is missing or damaged. */
  onDamaged: (slot: Slot, error: unknown) => void;
};

export class CopySender implements MessageWriter {
  readonly #deps: CopySenderDeps;
  /** Messages that are on their way into the queue: a holder that asks must not drop their copies. */
  readonly #committing = new Set<string>();
  readonly #copying = new Map<string, Promise<boolean>>();
  /** Messages that changed while they were copied. */
  readonly #changed = new Set<string>();
  /** Messages that should have a copy and have none. */
  readonly missing = new Set<Slot>();

  constructor(deps: CopySenderDeps) {
    this.#deps = deps;
  }

  get wanted(): boolean {
    return this.#deps.settings.current.queue.copies === 2;
  }

  /** Why no mail is accepted for lack of a second node; undefined where it is. */
  refusal(): SealpostError | undefined {
    if (!this.wanted || this.#deps.settings.current.queue['without-copy'] === 'accept') return undefined;
    return this.#deps.pairs.choose() === undefined ? noCopy() : undefined;
  }

  isUnderWay(id: string): boolean {
    return this.#committing.has(id) || this.#copying.has(id);
  }

  /** Put a message on disk, on this node and, where two copies are wanted, on another one. */
  async commit(message: MessageToWrite): Promise<void> {
    const { id, record, beside, onWritten } = message;
    const { store, pairs } = this.#deps;
    if (!this.wanted) {
      await store.write([...message.operations(), ...beside]);
      onWritten(undefined);
      return;
    }
    this.#committing.add(id);
    try {
      const operations = message.operations();
      const outbox = await this.#sendNew({ ...message, operations });
      if (outbox === undefined) this.#admitAlone(record);
      const own = outbox === undefined ? message.operations() : [...operations, putJson(keys.place(id), outbox.place)];
      try {
        await store.write([...own, ...beside]);
      } catch (error) {
        if (outbox !== undefined) this.#withdraw(outbox, id);
        throw error;
      }
      // The slot exists before a holder can ask whether the copy is needed.
      if (onWritten(outbox?.place)) this.#check(id, outbox?.place);
      else if (outbox !== undefined) this.#withdraw(pairs.outbox(outbox.place) ?? outbox, id);
    } finally {
      this.#committing.delete(id);
    }
  }

  /** Bring the copy up to date with what was written on this node; waits for it, but not for long. Never rejects. */
  async settled(slot: Slot | undefined, { id, gone, own, operations, notices }: Written): Promise<void> {
    const { pairs, slots } = this.#deps;
    if (gone && slot !== undefined) this.missing.delete(slot);
    if (own === true) return;
    if (this.#copying.has(id)) this.#changed.add(id);
    const outbox = pairs.outbox(slot?.copy);
    const news = notices.flatMap((notice) => slots.get(notice.id) ?? []);
    if (!this.wanted && outbox === undefined) return;
    const work = async (): Promise<void> => {
      // A failure notice takes the place of the mail that it is about: its copy must exist before that of the mail
      // goes.
      await Promise.all(
        news.map(async (notice) => {
          if (!(await this.ensure(notice)) && this.wanted && slots.has(notice)) this.missing.add(notice);
        }),
      );
      if (outbox === undefined) return;
      if (gone) await outbox.drop(id, receiptIn(operations, id));
      else
        await outbox.follow(
          id,
          operations.filter(({ key }) => belongsTo(key, id)),
        );
    };
    const done = work().catch((error: unknown) => {
      this.#deps.log.debug(
        { queueId: id, error: errorText(error) },
        'the second copy of a message was not updated, it is sent again later',
      );
    });
    if (outbox?.unreachable !== true) await Promise.race([done, delay(FOLLOW_MS, undefined, { ref: false })]);
  }

  /** Give a message a copy. Resolves to whether it has one; false where no other router takes it. */
  ensure(slot: Slot): Promise<boolean> {
    if (slot.copy !== undefined && this.#deps.pairs.isValid(slot.copy)) return Promise.resolve(true);
    let copying = this.#copying.get(slot.id);
    if (copying === undefined) {
      copying = this.#copy(slot).finally(() => {
        this.#copying.delete(slot.id);
        this.#changed.delete(slot.id);
      });
      this.#copying.set(slot.id, copying);
    }
    return copying;
  }

  /** Give a copy to each message that lacks one, as long as that works. */
  async fill(): Promise<void> {
    const { slots, pairs } = this.#deps;
    const waiting = this.missing.values();
    const worker = async (): Promise<void> => {
      for (const slot of waiting) {
        if (!slots.has(slot) || (await this.ensure(slot))) this.missing.delete(slot);
        else if (pairs.choose() === undefined) return;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT_COPIES }, worker));
  }

  async #copy(slot: Slot): Promise<boolean> {
    const { pairs, slots, store, log } = this.#deps;
    const tried: Outbox[] = [];
    for (let outbox = pairs.choose(); outbox !== undefined; outbox = pairs.choose(tried)) {
      try {
        this.#changed.delete(slot.id);
        await sendStored(store, outbox, slot.id);
        if (slots.has(slot) && !this.#changed.has(slot.id) && pairs.isValid(outbox.place)) {
          slot.copy = outbox.place;
          await store.persist([putJson(keys.place(slot.id), outbox.place)]);
          this.#check(slot.id, outbox.place);
          return true;
        }
        // It is no longer needed, or it is out of date and the next one may go elsewhere.
        this.#withdraw(outbox, slot.id);
        if (!slots.has(slot)) return true;
      } catch (error) {
        // It may have arrived all the same, and this holder would take it over as well as another one.
        this.#withdraw(outbox, slot.id);
        if (!slots.has(slot)) return true;
        if (errorCode(error) === 'corrupt') {
          // Loaded or held, it may be on its way out just now; if not, the next one that works on it finds it too.
          if (slot.message === undefined && slot.state !== 'hold') this.#deps.onDamaged(slot, error);
          return true;
        }
        log.info(
          { queueId: slot.id, holder: outbox.place.node, error: errorText(error) },
          'no second copy could be made on another node, the next one is tried',
        );
        tried.push(outbox);
      }
    }
    return false;
  }

  /** Send a new message to one holder after the other; resolves to the one that has it, undefined where none has. */
  async #sendNew(message: NewMessage): Promise<Outbox | undefined> {
    const { pairs, store, log } = this.#deps;
    const tried: Outbox[] = [];
    for (let outbox = pairs.choose(); outbox !== undefined; outbox = pairs.choose(tried)) {
      try {
        await sendNew(store, outbox, message);
        return outbox;
      } catch (error) {
        const fields = { queueId: message.id, holder: outbox.place.node, error: errorText(error) };
        log.debug(fields, 'a new message could not be copied to another node, the next one is tried');
        // The copy may have arrived all the same.
        this.#withdraw(outbox, message.id);
        tried.push(outbox);
      }
    }
    return undefined;
  }

  /** Check what became of a pair while a message got its copy there. */
  #check(id: string, place: CopyPlace | undefined): void {
    const { pairs, slots, onOvertaken } = this.#deps;
    const slot = slots.get(id);
    if (slot === undefined) return;
    if (place === undefined || !pairs.isValid(place)) {
      slot.copy = undefined;
      this.missing.add(slot);
      return;
    }
    // What is claimed and not yet adopted is found in the queue when it is adopted.
    const pair = pairs.pair(place.store);
    if (pair?.state === 'claimed' && pair.adopted) onOvertaken(slot);
  }

  #admitAlone(record: MessageRecord): void {
    if (this.#deps.settings.current.queue['without-copy'] !== 'accept') throw noCopy();
    record.alone = true;
  }

  #withdraw(outbox: Outbox, id: string): void {
    outbox.drop(id).catch((error: unknown) => {
      this.#deps.log.debug(
        { queueId: id, error: errorText(error) },
        'a copy that is not needed could not be withdrawn, its holder asks about it later',
      );
    });
  }
}

/** The receipt that was written with the end of a message, as JSON. */
function receiptIn(operations: readonly StoreOperation[], id: string): string | undefined {
  const written = operations.find((o) => o.type === 'put' && o.key === keys.receipt(id));
  return written?.type === 'put' ? payloadOf(written.value).toString() : undefined;
}

function belongsTo(key: string, id: string): boolean {
  return key === keys.message(id) || key.startsWith(`recipient!${id}!`);
}

function noCopy(): SealpostError {
  return new SealpostError(
    'not-accepting',
    'no other router takes the second copy (queue.copies: 2): start one, or set queue.without-copy: accept',
  );
}
