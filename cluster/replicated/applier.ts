import type { z } from 'zod';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Attachment } from './attachment.ts';
import type { LogMessage } from './jetstream-reader.ts';
import { parseRecord, type ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';
import { implausible, refuseArrived, type Seal } from './seal.ts';

/**
 * Applies the messages of the stream to the records of a map, in order and in batches, and notes what the stream lacks.
 */

/** Messages that one write to disk covers. */
const BATCH = 500;

/** How long a record is not written into the stream in whose place another was refused there twice. */
const CONTESTED_MS = 5000;

const NOTHING = new Uint8Array(0);

type Arrived<T> = LogMessage & {
  attachment: Attachment;
  own?: { record: ReplicatedRecord<T>; applied: () => void; lost: () => void };
};

export type ApplierDeps<T> = {
  bucket: string;
  schema: z.ZodType<T>;
  records: ReplicatedRecords<T>;
  seal: Seal | undefined;
  log: Logger;
  /** Called with the keys that changed, when that is synced. */
  onChanged: (keys: string[]) => void;
};

export class Applier<T> {
  readonly #deps: ApplierDeps<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #log: Logger;
  /** Of records that this node holds: when a message was refused last in their place, by `performance.now`. */
  readonly #refusals = new Map<string, { at: number; again: boolean }>();
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
      // Seen before: once as our own record that was taken, once as it was delivered. Of an ended reading only our own
      // count.
      if (seq <= attachment.seen || (own === undefined && attachment.log.closed)) continue;
      attachment.seen = seq;
      position = { created: attachment.log.created, last: seq };
      const record = own?.record ?? this.#parse(message);
      if (record === undefined) continue;
      records.push(record);
      attachment.versions.set(record.key, record.version);
    }
    const changed = position === undefined ? [] : await this.#records.merge(records, position);
    for (const { attachment, key } of batch) if (key !== undefined) this.#compare(attachment, key);
    for (const attachment of new Set(batch.map((message) => message.attachment)))
      attachment.noteApplied(attachment.seen);
    if (changed.length > 0) this.#deps.onChanged(changed);
    for (const { own } of batch) own?.applied();
  }

  /** Find out whether the stream has a record older than this node, or refused by it. */
  #compare(attachment: Attachment, key: string): void {
    const held = this.#records.get(key)?.version ?? 0;
    if (held <= (attachment.versions.get(key) ?? 0)) return;
    // Two processes that do not believe each other shall not write as fast as they can.
    const contested = !attachment.versions.has(key) && this.#refusals.get(key)?.again === true;
    if (!contested) attachment.markStale(key);
    else setTimeout(() => attachment.markStale(key), CONTESTED_MS).unref();
  }

  /** The record of a message; undefined, and reported, when it cannot be used. */
  #parse({ attachment, key, seq, data }: Arrived<T>): ReplicatedRecord<T> | undefined {
    const where = { bucket: this.#deps.bucket, record: key, seq };
    const { schema, seal } = this.#deps;
    let writer: string | undefined;
    try {
      const parsed = parseRecord(schema, Buffer.from(data).toString());
      const found = 'record' in parsed ? parsed.record : parsed.unreadable;
      if (found.key !== key) throw new Error(`it is about ${found.key}`);
      writer = found.node;
      const held = this.#records.get(key)?.version ?? 0;
      const impossible = implausible(found.version, held);
      const refusal =
        impossible === undefined ? refuseArrived(seal, this.#records.sealed, found) : { reason: impossible };
      if (refusal !== undefined) {
        this.#refuse(attachment, where, { writer, ...refusal });
        return undefined;
      }
      if ('record' in parsed) return parsed.record;
      const { version, problem } = parsed.unreadable;
      if (!this.#records.markUnreadable(parsed.unreadable)) throw new Error(problem);
      attachment.versions.set(key, version);
      this.#log.error(
        { ...where, error: problem },
        'a record of the cluster was written by a newer Sealpost and is not applied: update this node',
      );
    } catch (error) {
      this.#refuse(attachment, where, { writer, reason: errorText(error).slice(0, 300) });
    }
    return undefined;
  }

  #refuse(
    attachment: Attachment,
    where: { bucket: string; record: string | undefined; seq: number },
    why: { writer: string | undefined; reason: string; nek?: string | undefined },
  ): void {
    const { record: key } = where;
    if (key !== undefined) {
      attachment.versions.delete(key);
      const at = performance.now();
      const before = this.#refusals.get(key)?.at ?? Number.NEGATIVE_INFINITY;
      if (this.#records.get(key) !== undefined) this.#refusals.set(key, { at, again: at - before < 2 * CONTESTED_MS });
      if (!this.#records.refused.note({ key, ...why })) return;
    }
    const { writer, reason: error } = why;
    this.#log.error({ ...where, writer, error }, 'a message in the stream is not a record that may be taken: ignored');
  }
}
