import type { z } from 'zod';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Attachment } from './attachment.ts';
import type { LogMessage } from './jetstream-log.ts';
import { parseRecord, type ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';

/** Takes what the stream brings into the records of a map, in order and in batches, and notes where the stream is behind. */

/** Messages that one write to disk covers. */
const BATCH = 500;

const NOTHING = new Uint8Array(0);

type Arrived<T> = LogMessage & {
  attachment: Attachment;
  own?: { record: ReplicatedRecord<T>; applied: () => void; lost: () => void };
};

export type ApplierOptions<T> = {
  bucket: string;
  schema: z.ZodType<T>;
  records: ReplicatedRecords<T>;
  log: Logger;
  /** Called with the keys that changed, when that is synced. */
  onChanged: (keys: string[]) => void;
};

export class Applier<T> {
  readonly #options: ApplierOptions<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #log: Logger;
  #arrived: Arrived<T>[] = [];
  #applying = false;
  #closed = false;

  constructor(options: ApplierOptions<T>) {
    this.#options = options;
    this.#records = options.records;
    this.#log = options.log;
  }

  /** A message of the stream. */
  add(attachment: Attachment, { seq, key, data }: LogMessage): void {
    this.#enqueue({ attachment, seq, key, data });
  }

  /**
   * A record of our own that the stream has taken: resolves when it, and all before it, is applied and synced. Fails with
   * `store-failed` when this is closed before.
   */
  taken(attachment: Attachment, seq: number, record: ReplicatedRecord<T>): Promise<void> {
    const taken = new Promise<void>((applied, reject) => {
      const text = 'the change was made in the cluster, and this node is stopping: it will have it when it is back';
      const lost = (): void => reject(new SealpostError('store-failed', text));
      this.#enqueue({ attachment, seq, key: record.key, data: NOTHING, own: { record, applied, lost } });
    });
    // Who writes several may have given up waiting.
    taken.catch(() => undefined);
    return taken;
  }

  /** Take nothing more. What a failing store still waits for comes again from the stream. */
  close(): void {
    this.#closed = true;
    this.#forget();
  }

  #forget(): void {
    for (const { own } of this.#arrived.splice(0)) own?.lost();
  }

  #enqueue(message: Arrived<T>): void {
    this.#arrived.push(message);
    if (this.#closed) this.#forget();
    else if (!this.#applying) void this.#applyAll();
  }

  async #applyAll(): Promise<void> {
    this.#applying = true;
    try {
      // What arrives in one go is written in one go.
      await Promise.resolve();
      while (this.#arrived.length > 0) await this.#apply(this.#arrived.splice(0, BATCH));
    } catch (error) {
      // The store was closed: so is the map, or this node.
      this.#forget();
      if (!this.#closed) this.#log.error({ reason: errorText(error) }, 'changes of the cluster cannot be stored here');
    } finally {
      // In the same breath as the last look at the queue: nothing can come in between and be left lying.
      this.#applying = false;
    }
  }

  async #apply(batch: Arrived<T>[]): Promise<void> {
    const records: ReplicatedRecord<T>[] = [];
    let position = this.#records.position;
    for (const message of batch) {
      const { attachment, seq, own } = message;
      // Seen already: as our own that was taken, and as it was delivered. Of a reading that ended only our own count.
      if (seq <= attachment.seen || (own === undefined && attachment.log.closed)) continue;
      attachment.seen = seq;
      position = { created: attachment.log.created, last: seq };
      const record = own?.record ?? this.#parse(message);
      if (record === undefined) continue;
      records.push(record);
      attachment.versions.set(record.key, record.version);
    }
    const changed = position === undefined ? [] : await this.#records.merge(records, position);
    for (const { attachment, key } of batch) {
      if (key === undefined) continue;
      const held = this.#records.get(key)?.version ?? 0;
      if (held > (attachment.versions.get(key) ?? 0)) attachment.markStale(key);
    }
    for (const attachment of new Set(batch.map((message) => message.attachment)))
      attachment.noteApplied(attachment.seen);
    if (changed.length > 0) this.#options.onChanged(changed);
    for (const { own } of batch) own?.applied();
  }

  /** The record of a message; undefined, and reported, when it is none that can be used. */
  #parse({ attachment, key, seq, data }: Arrived<T>): ReplicatedRecord<T> | undefined {
    const where = { bucket: this.#options.bucket, record: key, seq };
    try {
      const parsed = parseRecord(this.#options.schema, Buffer.from(data).toString());
      const found = 'record' in parsed ? parsed.record.key : parsed.unreadable.key;
      if (found !== key) throw new Error(`it is about ${found}`);
      if ('record' in parsed) return parsed.record;
      const { version, problem } = parsed.unreadable;
      if (!this.#records.markUnreadable(parsed.unreadable)) throw new Error(problem);
      attachment.versions.set(key, version);
      this.#log.error(
        { ...where, problem },
        'a record of the cluster cannot be read by this program: what is held stays',
      );
    } catch (error) {
      if (key !== undefined) attachment.versions.delete(key);
      this.#log.error({ ...where, reason: errorText(error) }, 'a message in the stream is no record: passed over');
    }
    return undefined;
  }
}
