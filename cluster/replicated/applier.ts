import type { z } from 'zod';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Attachment } from './attachment.ts';
import type { LogMessage } from './jetstream-reader.ts';
import { parseRecord, type ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';

/** Applies the messages of the stream to the records of a map, in order and in batches, and notes what the stream lacks. */

/** Messages that one write to disk covers. */
const BATCH = 500;

const NOTHING = new Uint8Array(0);

type Arrived<T> = LogMessage & {
  attachment: Attachment;
  own?: { record: ReplicatedRecord<T>; applied: () => void; lost: () => void };
};

export type ApplierDeps<T> = {
  bucket: string;
  schema: z.ZodType<T>;
  records: ReplicatedRecords<T>;
  log: Logger;
  /** Called with the keys that changed, when that is synced. */
  onChanged: (keys: string[]) => void;
};

export class Applier<T> {
  readonly #deps: ApplierDeps<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #log: Logger;
  #arrived: Arrived<T>[] = [];
  #applying = false;
  #closed = false;

  constructor(deps: ApplierDeps<T>) {
    this.#deps = deps;
    this.#records = deps.records;
    this.#log = deps.log;
  }

  /** A message of the stream. */
  add(attachment: Attachment, { seq, key, data }: LogMessage): void {
    this.#enqueue({ attachment, seq, key, data });
  }

  /**
   * A record of this node that the stream has taken: resolves when it, and all before it, is applied and synced. Fails
   * with `store-failed` when this is closed before.
   */
  taken(attachment: Attachment, seq: number, record: ReplicatedRecord<T>): Promise<void> {
    const taken = new Promise<void>((applied, reject) => {
      const text = 'the change was made in the cluster, and this node is stopping: it will have it when it is back';
      const lost = (): void => reject(new SealpostError('store-failed', text));
      this.#enqueue({ attachment, seq, key: record.key, data: NOTHING, own: { record, applied, lost } });
    });
    // A caller that writes several may no longer wait.
    taken.catch(() => undefined);
    return taken;
  }

  /** Apply nothing more. What could not be stored comes again from the stream. */
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
      // Messages that arrive together are written together.
      await Promise.resolve();
      while (this.#arrived.length > 0) await this.#apply(this.#arrived.splice(0, BATCH));
    } catch (error) {
      // The store was closed: so is the map, or this node.
      this.#forget();
      if (!this.#closed) {
        this.#log.error({ error: errorText(error) }, 'changes of the cluster cannot be stored on this node');
      }
    } finally {
      // In the same tick as the last look at the queue: nothing can arrive in between and stay unnoticed.
      this.#applying = false;
    }
  }

  async #apply(batch: Arrived<T>[]): Promise<void> {
    const records: ReplicatedRecord<T>[] = [];
    let position = this.#records.position;
    for (const message of batch) {
      const { attachment, seq, own } = message;
      // Seen before: once as our own record that was taken, once as it was delivered. Of an ended reading only our own count.
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
    if (changed.length > 0) this.#deps.onChanged(changed);
    for (const { own } of batch) own?.applied();
  }

  /** The record of a message; undefined, and logged, when it cannot be used. */
  #parse({ attachment, key, seq, data }: Arrived<T>): ReplicatedRecord<T> | undefined {
    const where = { bucket: this.#deps.bucket, record: key, seq };
    try {
      const parsed = parseRecord(this.#deps.schema, Buffer.from(data).toString());
      const found = 'record' in parsed ? parsed.record.key : parsed.unreadable.key;
      if (found !== key) throw new Error(`it is about ${found}`);
      if ('record' in parsed) return parsed.record;
      const { version, problem } = parsed.unreadable;
      if (!this.#records.markUnreadable(parsed.unreadable)) throw new Error(problem);
      attachment.versions.set(key, version);
      this.#log.error(
        { ...where, error: problem },
        'a record of the cluster was written by a newer Sealpost and is not applied: update this node',
      );
    } catch (error) {
      if (key !== undefined) attachment.versions.delete(key);
      this.#log.error({ ...where, error: errorText(error) }, 'a message in the stream is not a record: ignored');
    }
    return undefined;
  }
}
