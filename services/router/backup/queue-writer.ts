import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { keys, MessageRecord, putBytes, putJson, queueIdOf, RecipientRecord } from '../store/records.ts';
import { COPIED_KEY } from './copy-page.ts';

/**
 * Writes mail of a backup into the queue of a router that does not run, message by message, each as what it is for the
 * take-over too: mail that this store has from another one. It keeps its queue id, its arrival and what became of its
 * recipients, and has no second copy: the place of that was in the words of a store that is gone (copies/claims.ts), and a
 * start gives it another one. The name of the store, its lease, what it took over and the copies that it holds for others
 * are not in a backup: a store that is made anew is another one for the cluster, as after any loss of a disk.
 *
 * Until all of a message is on disk, `transfer!<id>` says that it is not one, and a start deletes it, as it does with a
 * transfer that was interrupted. So a restoration that was interrupted can be repeated.
 */

const BATCH_BYTES = 1024 * 1024;

export type RestoreMail = {
  /** The node whose queue it was in. */
  from: string;
  /** It waits for an operator. */
  hold: boolean;
};

export class QueueWriter {
  readonly #store: Store;
  readonly #mail: RestoreMail;
  #id = '';
  #batch: StoreOperation[] = [];
  #bytes = 0;
  #recipients = 0;
  #chunks: number[] = [];
  /** Messages that are in the queue now. */
  written = 0;

  constructor(store: Store, mail: RestoreMail) {
    this.#store = store;
    this.#mail = mail;
  }

  /** The next record of a message, in the order of `copyPage`. Rejects with `store-failed`, or `corrupt` where it is none. */
  async add(key: string, payload: Buffer): Promise<void> {
    if (!COPIED_KEY.test(key)) throw new SealpostError('corrupt', `${key} is not a record of mail`);
    const id = queueIdOf(key);
    if (id !== this.#id) this.#begin(id);
    if (key === keys.message(id)) {
      await this.#commit(parsed(MessageRecord, key, payload));
      return;
    }
    if (key.startsWith('recipient!')) {
      parsed(RecipientRecord, key, payload);
      this.#recipients++;
    } else {
      this.#chunks.push(payload.length);
    }
    this.#batch.push(putBytes(key, payload));
    this.#bytes += payload.length;
    if (this.#bytes >= BATCH_BYTES) await this.#flush([]);
  }

  #begin(id: string): void {
    this.#id = id;
    this.#batch = [putBytes(keys.transfer(id), Buffer.alloc(0))];
    this.#bytes = 0;
    this.#recipients = 0;
    this.#chunks = [];
  }

  async #commit(record: MessageRecord): Promise<void> {
    const id = this.#id;
    const { recipients, chunks } = record;
    if (recipients !== this.#recipients || chunks.join() !== this.#chunks.join()) {
      throw new SealpostError('corrupt', `message ${id} of the backup is not whole`);
    }
    const at = Date.now();
    const held = this.#mail.hold && !record.held;
    const restored: MessageRecord = {
      ...record,
      takenOver: { from: this.#mail.from, at },
      ...(held && { held: true, hold: { by: 'operator', at } }),
    };
    await this.#flush([
      putJson(keys.message(id), restored),
      // It is older than what the index may have in blocks already.
      putBytes(keys.unindexed(id), Buffer.alloc(0)),
      { type: 'del', key: keys.transfer(id) },
    ]);
    this.#id = '';
    this.written++;
  }

  async #flush(last: StoreOperation[]): Promise<void> {
    const operations = [...this.#batch, ...last];
    this.#batch = [];
    this.#bytes = 0;
    await this.#store.write(operations);
  }
}

function parsed<T>(schema: { parse(value: unknown): T }, key: string, payload: Buffer): T {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch (error) {
    throw new SealpostError('corrupt', `${key}: not a record of this program: ${errorText(error)}`, { cause: error });
  }
}
