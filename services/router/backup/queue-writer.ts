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
 * Small messages are written many at a time. Of a large one parts are on disk before the rest: until then
 * `transfer!<id>` says that it is not one, and a start deletes it, as it does with a transfer that was interrupted. So a
 * restoration that was interrupted can be repeated.
 */

const BATCH_BYTES = 1024 * 1024;

export type RestoreMail = {
  /** The node whose queue it was in. */
  from: string;
  /** It waits for an operator. */
  hold: boolean;
};

/** The message under way; `onDisk`: parts of it were written. */
type Current = { id: string; recipients: number; chunks: number[]; onDisk: boolean };

export class QueueWriter {
  readonly #store: Store;
  readonly #mail: RestoreMail;
  #batch: StoreOperation[] = [];
  #bytes = 0;
  /** Messages that the batch completes. */
  #complete = 0;
  #current: Current | undefined;
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
    if (this.#current !== undefined && this.#current.id !== id) throw notWhole(this.#current.id);
    this.#current ??= { id, recipients: 0, chunks: [], onDisk: false };
    if (key === keys.message(id)) {
      this.#end(this.#current, parsed(MessageRecord, key, payload));
    } else {
      if (key.startsWith('recipient!')) {
        parsed(RecipientRecord, key, payload);
        this.#current.recipients++;
      } else {
        this.#current.chunks.push(payload.length);
      }
      this.#batch.push(putBytes(key, payload));
    }
    this.#bytes += payload.length;
    if (this.#bytes >= BATCH_BYTES) await this.flush();
  }

  /** Write what is left. Rejects with `store-failed`. */
  async flush(): Promise<void> {
    const current = this.#current;
    if (current !== undefined && !current.onDisk) {
      this.#batch.push(putBytes(keys.transfer(current.id), Buffer.alloc(0)));
      current.onDisk = true;
    }
    const [operations, complete] = [this.#batch, this.#complete];
    [this.#batch, this.#bytes, this.#complete] = [[], 0, 0];
    if (operations.length > 0) await this.#store.write(operations);
    this.written += complete;
  }

  #end({ id, onDisk, ...found }: Current, record: MessageRecord): void {
    const { recipients, chunks } = record;
    if (recipients !== found.recipients || chunks.join() !== found.chunks.join()) {
      throw notWhole(id);
    }
    const at = Date.now();
    const held = this.#mail.hold && !record.held;
    const restored: MessageRecord = {
      ...record,
      takenOver: { from: this.#mail.from, at },
      ...(held && { held: true, hold: { by: 'operator', at } }),
    };
    this.#batch.push(
      putJson(keys.message(id), restored),
      // It is older than what the index may have in blocks already.
      putBytes(keys.unindexed(id), Buffer.alloc(0)),
    );
    if (onDisk) this.#batch.push({ type: 'del', key: keys.transfer(id) });
    this.#current = undefined;
    this.#complete++;
  }
}

function notWhole(id: string): SealpostError {
  return new SealpostError('corrupt', `message ${id} of the backup is not whole`);
}

function parsed<T>(schema: { parse(value: unknown): T }, key: string, payload: Buffer): T {
  try {
    return schema.parse(JSON.parse(payload.toString()));
  } catch (error) {
    throw new SealpostError('corrupt', `${key}: not a record of this program: ${errorText(error)}`, { cause: error });
  }
}
