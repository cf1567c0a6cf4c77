import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { DamagedMail } from '#shared/store-damage.ts';
import { DamagedMailReader } from './damaged-mail.ts';
import { keys, queueIdOf, rangeOf } from './records.ts';
import type { Slots } from './slots.ts';

/**
 * Damaged messages. All records of one are moved below `corrupt!`, as they were found, so that nothing is lost that a
 * person could still read, and the rest of the queue goes on. The sender is not told: the mail is not gone.
 *
 * The message record moves last, in one batch with the recipients. Where the program stops halfway, the message is
 * found damaged again and the rest moves then.
 */

/** Bytes moved in one batch. */
const BATCH_BYTES = 1024 * 1024;
/** Messages of which is told whose they are. */
const MOST_TOLD = 100;

export class Corrupt {
  readonly #store: Store;
  readonly #slots: Slots;
  readonly #log: Logger;
  readonly #ids = new Set<string>();
  /** Whose mail they are, of the first ones. */
  readonly #mail = new Map<string, DamagedMail>();
  readonly #moving = new Set<Promise<void>>();

  constructor(store: Store, slots: Slots, log: Logger) {
    this.#store = store;
    this.#slots = slots;
    this.#log = log;
  }

  get count(): number {
    return this.#ids.size;
  }

  get mail(): DamagedMail[] {
    return [...this.#mail.values()];
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Find what was set aside before. */
  async scan(): Promise<void> {
    try {
      for await (const key of this.#store.keys(rangeOf('corrupt'))) this.#ids.add(queueIdOf(key));
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      this.#log.error({ error: errorText(error) }, 'some of the damaged messages cannot be read: they are not counted');
    }
    for (const id of [...this.#ids].slice(0, MOST_TOLD)) await this.#read(id);
  }

  /** Whose mail a message is that was set aside before. */
  async #read(id: string): Promise<void> {
    const reader = new DamagedMailReader(id);
    const prefix = keys.corrupt(id, '');
    for await (const key of this.#store.keys(rangeOf(`corrupt!${id}`))) {
      const original = key.slice(prefix.length);
      if (!DamagedMailReader.isTelling(original)) continue;
      // A part of the store that cannot be read tells nothing.
      const value = await this.#store.get(key).catch(() => undefined);
      if (value !== undefined) reader.learn(original, value);
    }
    this.#mail.set(id, reader.mail);
  }

  /** Take a message out of the queue because a record of it is damaged. The records move in the background. */
  setAside(id: string, cause: unknown): void {
    const slot = this.#slots.get(id);
    if (slot !== undefined) this.#slots.remove(slot);
    this.#ids.add(id);
    const reader = new DamagedMailReader(id);
    const moving = this.#move(id, reader)
      .finally(() => {
        const { from, to } = reader.mail;
        if (this.#ids.has(id) && this.#mail.size < MOST_TOLD) this.#mail.set(id, reader.mail);
        this.#log.error(
          { queueId: id, from, to, error: errorText(cause) },
          'message is damaged on disk and was set aside: its sender is not told',
        );
      })
      .catch((error: unknown) =>
        this.#log.error(
          { queueId: id, err: error },
          'records of a damaged message could not be moved: the next start tries it again',
        ),
      )
      .finally(() => this.#moving.delete(moving));
    this.#moving.add(moving);
  }

  /** Delete what was set aside of a message. */
  async remove(id: string): Promise<void> {
    await this.settled();
    const operations: StoreOperation[] = [];
    for await (const key of this.#store.keys(rangeOf(`corrupt!${id}`))) operations.push({ type: 'del', key });
    await this.#store.persist(operations);
    this.#ids.delete(id);
    this.#mail.delete(id);
    this.#log.warn({ queueId: id }, 'damaged message was removed by an operator');
  }

  /** Resolves when nothing is being moved. */
  async settled(): Promise<void> {
    await Promise.all(this.#moving);
  }

  async #move(id: string, reader: DamagedMailReader): Promise<void> {
    let operations: StoreOperation[] = [];
    let bytes = 0;
    for (const prefix of [`body!${id}`, `recipient!${id}`]) {
      for await (const [key, value] of this.#store.entries(rangeOf(prefix))) {
        operations.push({ type: 'put', key: keys.corrupt(id, key), value }, { type: 'del', key });
        reader.learn(key, value);
        bytes += value.length;
        if (bytes < BATCH_BYTES || prefix.startsWith('recipient')) continue;
        await this.#store.persist(operations);
        operations = [];
        bytes = 0;
      }
    }
    const key = keys.message(id);
    const value = await this.#store.get(key);
    if (value !== undefined) {
      operations.push({ type: 'put', key: keys.corrupt(id, key), value }, { type: 'del', key });
      reader.learn(key, value);
    }
    operations.push({ type: 'del', key: keys.place(id) });
    if (operations.length > 0) await this.#store.persist(operations);
  }
}
