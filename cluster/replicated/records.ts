import type { z } from 'zod';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Store, StoreOperation } from '../store.ts';
import { compare, decodeStored, encodeStored, type ReplicatedRecord, type UnreadableRecord } from './record.ts';
import { RefusedRecords } from './refused.ts';
import { implausibleOnDisk, refuseStored, type Seal } from './seal.ts';

/**
 * The records of a replicated map on this node's disk, and in memory for reading. Memory shows what is synced.
 *
 *   <prefix>record!<key>                          a record, or its tombstone (`record.ts`)
 *   <prefix>corrupt!<key>                         a record that did not read back, as it was found
 *   <prefix>conflict!<key>!<version>!<write id>   the loser of two records that do not come from one another
 *   <prefix>stream                                JSON { created, last }: the stream that was read last, and how far
 *   <prefix>sealed                                JSON { since }: this map takes no records without a MAC (`seal.ts`)
 *
 * A damaged record is logged and set aside at opening; the stream brings it again, as it does what LevelDB cannot read
 * at all. One whose value the schema refuses is of a newer Sealpost: it stays where it is, is not shown, and is not
 * changed.
 */
export type StreamPosition = { created: string; last: number };

export type RecordsOptions<T> = {
  store: Store;
  prefix: string;
  schema: z.ZodType<T>;
  log: Logger;
  seal?: Seal | undefined;
};

/** Changes that are remembered in addition to one for each record. */
const KEPT_CHANGES = 1000;

/** A record that has a value. */
export type LiveRecord<T> = { key: string; version: number; value: T };

export class ReplicatedRecords<T> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #schema: z.ZodType<T>;
  readonly #log: Logger;
  readonly #seal: Seal | undefined;
  #sealed = false;
  readonly refused = new RefusedRecords();
  readonly #records = new Map<string, ReplicatedRecord<T>>();
  readonly #unreadable = new Map<string, UnreadableRecord>();
  /** Keys of damaged records that have not come back. */
  readonly #damaged = new Set<string>();
  #position: StreamPosition | undefined;
  #revision = 0;
  /** Keys of the records in the order in which they were shown since the opening, without the first `#forgotten` ones. */
  #shownKeys: string[] = [];
  #forgotten = 0;
  /** Keys of all records in order; undefined until it is needed again after a new record. */
  #order: string[] | undefined;
  /** The live records in order; undefined until it is needed again after a change. */
  #live: readonly LiveRecord<T>[] | undefined;

  private constructor({ store, prefix, schema, log, seal }: RecordsOptions<T>) {
    this.#store = store;
    this.#prefix = prefix;
    this.#schema = schema;
    this.#log = log;
    this.#seal = seal;
  }

  /** Read every record from disk. Fails with `store-failed`. */
  static async load<T>(options: RecordsOptions<T>): Promise<ReplicatedRecords<T>> {
    const records = new ReplicatedRecords(options);
    await records.#load();
    records.sealWhereEmpty();
    return records;
  }

  /** Whether records without a MAC are refused. */
  get sealed(): boolean {
    return this.#sealed;
  }

  /** From now on records without a MAC are refused. Waits out failures of the store; rejects when it is closed. */
  async markSealed(): Promise<void> {
    this.#sealed = true;
    const value = Buffer.from(JSON.stringify({ since: new Date().toISOString() }));
    await this.#store.persist([{ type: 'put', key: `${this.#prefix}sealed`, value }]);
  }

  /** The record, or its tombstone. */
  get(key: string): ReplicatedRecord<T> | undefined {
    return this.#records.get(key);
  }

  /** Keys of records and tombstones, in order. */
  keys(): readonly string[] {
    this.#order ??= [...this.#records.keys()].sort((a, b) => (a < b ? -1 : 1));
    return this.#order;
  }

  /** Every record that has a value, ordered by key: the same array until something changes. */
  live(): readonly LiveRecord<T>[] {
    this.#live ??= this.keys().flatMap((key) => {
      const record = this.#records.get(key);
      return record?.value === undefined ? [] : [{ key, version: record.version, value: record.value }];
    });
    return this.#live;
  }

  /** How many records were taken over since the opening, those on disk among them. It counts on with every change. */
  get shown(): number {
    return this.#forgotten + this.#shownKeys.length;
  }

  /** Keys of the records that were taken over when there were more than `shown`; undefined where that is too long ago. */
  changedSince(shown: number): string[] | undefined {
    if (shown < this.#forgotten) return undefined;
    return [...new Set(this.#shownKeys.slice(shown - this.#forgotten))];
  }

  /** The sum of all versions. */
  get revision(): number {
    return this.#revision;
  }

  /** How far the stream was read, as it is on disk. */
  get position(): StreamPosition | undefined {
    return this.#position;
  }

  /** What is known of a record that this program cannot read. */
  unreadable(key: string): UnreadableRecord | undefined {
    return this.#unreadable.get(key);
  }

  /** Keys of those, in order. */
  unreadableKeys(): string[] {
    return [...this.#unreadable.keys()].sort();
  }

  /** Keys of the records that there were on this disk and that are not held now: damaged, or of a newer Sealpost. */
  lostKeys(): string[] {
    return [...this.#damaged, ...this.#unreadable.keys()].filter((key) => !this.#records.has(key)).sort();
  }

  /** Remember that this program cannot read the newest version of a record; false when a newer one is held. */
  markUnreadable(found: UnreadableRecord): boolean {
    if (found.version <= (this.#records.get(found.key)?.version ?? 0)) return false;
    this.#unreadable.set(found.key, found);
    return true;
  }

  /**
   * Take over what is newer than what is held, in the order given; resolves to the keys that changed when it is synced.
   * Waits out failures of the store. Rejects with `store-failed` when the store is closed before that.
   */
  async merge(arrived: readonly ReplicatedRecord<T>[], position: StreamPosition): Promise<string[]> {
    const taken = new Map<string, ReplicatedRecord<T>>();
    const operations: StoreOperation[] = [];
    for (const record of arrived) {
      const held = taken.get(record.key) ?? this.#records.get(record.key);
      const { order, fork } = held === undefined ? { order: 'newer', fork: false } : compare(held, record);
      if (fork && held !== undefined) operations.push(this.#conflict(order === 'newer' ? held : record));
      if (order !== 'newer') continue;
      taken.set(record.key, record);
      operations.push({ type: 'put', key: `${this.#prefix}record!${record.key}`, value: encodeStored(record) });
    }
    const { created, last } = position;
    if (created !== this.#position?.created || last !== this.#position.last) {
      operations.push({ type: 'put', key: `${this.#prefix}stream`, value: Buffer.from(JSON.stringify(position)) });
    }
    if (operations.length > 0) await this.#store.persist(operations);
    this.#position = position;
    for (const record of taken.values()) this.#show(record);
    return [...taken.keys()];
  }

  /** Store a record that goes into no stream. Fails with `store-failed`; then it will not be there. */
  async put(record: ReplicatedRecord<T>): Promise<void> {
    const key = `${this.#prefix}record!${record.key}`;
    try {
      await this.#store.write([{ type: 'put', key, value: encodeStored(record) }]);
    } catch (error) {
      void this.#undo(key, this.#records.get(record.key));
      throw error;
    }
    this.#show(record);
  }

  /** A failed write may be found on disk later: what its writer was told did not happen must not appear then. */
  async #undo(key: string, before: ReplicatedRecord<T> | undefined): Promise<void> {
    try {
      await this.#store.persist([
        before === undefined ? { type: 'del', key } : { type: 'put', key, value: encodeStored(before) },
      ]);
    } catch (error) {
      this.#log.warn({ record: key, error: errorText(error) }, 'the store closed before a failed change was undone');
    }
  }

  #show(record: ReplicatedRecord<T>): void {
    this.#revision += record.version - (this.#records.get(record.key)?.version ?? 0);
    if (!this.#records.has(record.key)) this.#order = undefined;
    this.#live = undefined;
    this.#records.set(record.key, record);
    this.#noteShown(record.key);
    this.#damaged.delete(record.key);
    if ((this.#unreadable.get(record.key)?.version ?? 0) <= record.version) this.#unreadable.delete(record.key);
  }

  /** Remembers as many changes as there are records: who missed more may as well read all. */
  #noteShown(key: string): void {
    this.#shownKeys.push(key);
    if (this.#shownKeys.length <= 2 * this.#records.size + KEPT_CHANGES) return;
    const kept = this.#shownKeys.slice(-this.#records.size - KEPT_CHANGES);
    this.#forgotten += this.#shownKeys.length - kept.length;
    this.#shownKeys = kept;
  }

  #conflict(loser: ReplicatedRecord<T>): StoreOperation {
    const { key, version, writeId, node, time } = loser;
    const name = `${this.#prefix}conflict!${key}!${version}!${writeId}`;
    const text =
      'a change of this node conflicts with the cluster and was set aside: check whether it must be made again';
    this.#log.error({ record: key, version, writer: node, written: time, setAside: name }, text);
    return { type: 'put', key: name, value: encodeStored(loser) };
  }

  async #load(): Promise<void> {
    const start = `${this.#prefix}record!`;
    try {
      if (this.#seal !== undefined) this.#sealed = (await this.#store.get(`${this.#prefix}sealed`)) !== undefined;
      for await (const [name, value] of this.#store.entries({ gte: start, lt: `${this.#prefix}record"` })) {
        await this.#read(name.slice(start.length), value);
      }
      const position = (await this.#store.get(`${this.#prefix}stream`))?.toString();
      const match = /^\{"created":"([^"]+)","last":(\d+)\}$/.exec(position ?? '');
      if (match?.[1] !== undefined) this.#position = { created: match[1], last: Number(match[2]) };
      await this.#noteSetAside();
    } catch (error) {
      // All that can be read was read before.
      if (errorCode(error) !== 'store-damaged') throw error;
      const text = 'a part of the store cannot be read: the records in it are missing until the cluster brings them';
      this.#log.error({ error: errorText(error), records: this.#records.size }, text);
    }
  }

  /** A map that is empty when it gets a key never needs a record without a MAC. */
  sealWhereEmpty(): void {
    const empty = this.#records.size === 0 && this.#unreadable.size === 0;
    if (empty && (this.#seal?.keys.length ?? 0) > 0 && !this.#sealed) void this.markSealed().catch(() => undefined);
  }

  /** What was set aside at this start or an earlier one, and has not come back. */
  async #noteSetAside(): Promise<void> {
    const start = `${this.#prefix}corrupt!`;
    for await (const name of this.#store.keys({ gte: start, lt: `${this.#prefix}corrupt"` })) {
      const key = name.slice(start.length);
      if (this.#records.has(key)) continue;
      this.#damaged.add(key);
      this.refused.note({ key, writer: undefined, reason: 'it was damaged on the disk of this node' });
    }
  }

  async #read(key: string, value: Buffer): Promise<void> {
    try {
      const parsed = decodeStored(this.#schema, key, value);
      const found = 'record' in parsed ? parsed.record : parsed.unreadable;
      const reason = implausibleOnDisk(found.version) ?? refuseStored(this.#seal, found);
      if (reason !== undefined) throw new Error(reason);
      if ('record' in parsed) {
        this.#show(parsed.record);
        return;
      }
      this.#unreadable.set(key, parsed.unreadable);
      const { problem } = parsed.unreadable;
      this.#log.error(
        { record: key, error: problem },
        'a record was written by a newer Sealpost and is not used: update this node',
      );
    } catch (error) {
      await this.#setAside(key, value, errorText(error));
    }
  }

  async #setAside(key: string, value: Buffer, error: string): Promise<void> {
    const name = `${this.#prefix}corrupt!${key}`;
    this.#log.error(
      { record: key, setAside: name, error },
      'a damaged record was set aside; in a cluster the other nodes bring it back',
    );
    try {
      await this.#store.write([
        { type: 'put', key: name, value },
        { type: 'del', key: `${this.#prefix}record!${key}` },
      ]);
    } catch (cause) {
      this.#log.error({ record: key, error: errorText(cause) }, 'a damaged record could not be set aside');
    }
  }
}
