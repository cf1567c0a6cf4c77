import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
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

export class Corrupt {
  readonly #store: Store;
  readonly #slots: Slots;
  readonly #log: Logger;
  readonly #ids = new Set<string>();
  readonly #moving = new Set<Promise<void>>();

  constructor(store: Store, slots: Slots, log: Logger) {
    this.#store = store;
    this.#slots = slots;
    this.#log = log;
  }

  get count(): number {
    return this.#ids.size;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Find what was set aside before. */
  async scan(): Promise<void> {
    for await (const key of this.#store.keys(rangeOf('corrupt'))) this.#ids.add(queueIdOf(key));
  }

  /** Take a message out of the queue because a record of it is damaged. The records move in the background. */
  setAside(id: string, cause: unknown): void {
    const slot = this.#slots.get(id);
    if (slot !== undefined) this.#slots.remove(slot);
    this.#ids.add(id);
    this.#log.error({ queueId: id, error: errorText(cause) }, 'message is damaged on disk and was set aside');
    const moving = this.#move(id)
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
    this.#log.warn({ queueId: id }, 'damaged message was removed by an operator');
  }

  /** Resolves when nothing is being moved. */
  async settled(): Promise<void> {
    await Promise.all(this.#moving);
  }

  async #move(id: string): Promise<void> {
    let operations: StoreOperation[] = [];
    let bytes = 0;
    for (const prefix of [`body!${id}`, `recipient!${id}`]) {
      for await (const [key, value] of this.#store.entries(rangeOf(prefix))) {
        operations.push({ type: 'put', key: keys.corrupt(id, key), value }, { type: 'del', key });
        bytes += value.length;
        if (bytes < BATCH_BYTES || prefix.startsWith('recipient')) continue;
        await this.#store.persist(operations);
        operations = [];
        bytes = 0;
      }
    }
    const key = keys.message(id);
    const value = await this.#store.get(key);
    if (value !== undefined) operations.push({ type: 'put', key: keys.corrupt(id, key), value }, { type: 'del', key });
    operations.push({ type: 'del', key: keys.place(id) });
    if (operations.length > 0) await this.#store.persist(operations);
  }
}
