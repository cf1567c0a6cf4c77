import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { StoreDamage } from '#shared/store-damage.ts';
import { type Database, isDamage, openDatabase, type StoreOptions } from './level.ts';
import { CommitLog } from './leveldb/commit-log.ts';
import { readDamage } from './leveldb/damage.ts';
import { type Range, SINGLES, Snapshot } from './snapshot.ts';

/**
 * A LevelDB with durable writes: when `write` resolves, its data is on disk, synced.
 *
 * Every write goes through one group-committing writer: while a batch is being written and synced, what arrives
 * waits and becomes the next batch. This file holds the only call in the code base that writes, and it syncs.
 * (LevelDB's own default is `sync: false`; and it does not sync a log file it rotates away from, so a later synced
 * write says nothing about an earlier unsynced one.) The name of the file that has it is on disk too
 * (leveldb/commit-log.ts). Writes take effect in the order in which they were asked for.
 *
 * States:
 *   open     reads and writes work.
 *   failed   entered by any write error (disk full, I/O error). LevelDB may have left half a record in its log, and
 *            what it appends after it could be unreadable after a restart; so nothing more is written to this
 *            handle. `write` and reads are refused with `store-failed`, `persist` waits, and the database is closed
 *            and reopened every second until a test write succeeds. Where it failed because a part of it cannot be
 *            read, it is repaired first (level.ts). → open
 *   closed   by `close`.
 *
 * A write that was answered with an error may still be found after reopening: the caller who must not have it there
 * deletes it with `persist`, which waits out failures.
 */

export type StoreOperation = { type: 'put'; key: string; value: Buffer } | { type: 'del'; key: string };

type Pending = {
  operations: StoreOperation[];
  bytes: number;
  /** Survives a failure: it stays first in the queue and is written when the store works again. */
  persist: boolean;
  resolve: () => void;
  reject: (error: Error) => void;
};

/** Bytes that one group commit carries at most, so that no writer waits long for a large one. */
const GROUP_BYTES = 512 * 1024;
const REOPEN_INTERVAL_MS = 1000;
const PROBE_KEY = '!probe';

export class Store {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #options: StoreOptions;
  #db: Database;
  #commitLog: CommitLog;
  #state: 'open' | 'failed' | 'closed' = 'open';
  #failure: Error | undefined;
  #pending: Pending[] = [];
  #writer: Promise<void> | undefined;
  #recovery: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();

  private constructor(folder: string, log: Logger, options: StoreOptions, db: Database) {
    this.#folder = folder;
    this.#log = log;
    this.#options = options;
    this.#db = db;
    this.#commitLog = new CommitLog(folder);
  }

  /** Open the database in `folder`, made if it is not there. Fails with `store-locked` or `store-failed`. */
  static async open(folder: string, log: Logger, options: StoreOptions = {}): Promise<Store> {
    return new Store(folder, log, options, await openDatabase(folder, log, options));
  }

  /** What was damaged in it, until an operator moves or deletes its `lost/` folder; oldest first. */
  damage(): Promise<StoreDamage[]> {
    return readDamage(this.#folder);
  }

  /** Why the store takes nothing right now; undefined when it works. */
  get failure(): Error | undefined {
    return this.#state === 'open' ? undefined : (this.#failure ?? new Error('the store is closed'));
  }

  /** Resolves when the operations are on disk, synced, all or none. Rejects with `store-failed`. */
  write(operations: StoreOperation[]): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(this.#refusal());
    return this.#enqueue(operations, false);
  }

  /**
   * Like `write`, but waits out failures; for what has happened already and must be remembered. Rejects with
   * `store-failed` only when the store is closed before it could be written.
   */
  persist(operations: StoreOperation[]): Promise<void> {
    if (this.#state === 'closed') return Promise.reject(this.#refusal());
    return this.#enqueue(operations, true);
  }

  /** The value, or undefined. Rejects with `store-failed`, or `store-damaged` when this part of it cannot be read. */
  async get(key: string): Promise<Buffer | undefined> {
    if (this.#state !== 'open') throw this.#refusal();
    try {
      return await this.#db.get(key);
    } catch (error) {
      throw this.#readError(key, error);
    }
  }

  /** Values in the order of the keys. Rejects like `get`. */
  async getMany(keys: string[]): Promise<(Buffer | undefined)[]> {
    if (this.#state !== 'open') throw this.#refusal();
    try {
      return await this.#db.getMany(keys);
    } catch (error) {
      throw this.#readError(keys[0] ?? '', error);
    }
  }

  /**
   * Entries of a range in the order of their keys, from one snapshot. Where a part of the range is damaged, every
   * entry that can be read comes first, then the iteration rejects with `store-damaged`.
   */
  async *entries(range: Range): AsyncGenerator<[string, Buffer]> {
    const snapshot = this.snapshot();
    try {
      for await (const page of snapshot.pages(range, SINGLES)) for (const entry of page) yield entry;
    } finally {
      await snapshot.close();
    }
  }

  /** Like `entries`, keys alone. */
  async *keys(range: Range): AsyncGenerator<string> {
    const snapshot = this.snapshot();
    try {
      for await (const page of snapshot.keyPages(range, SINGLES)) for (const key of page) yield key;
    } finally {
      await snapshot.close();
    }
  }

  /** The store as it is now. Throws `store-failed`. */
  snapshot(): Snapshot {
    if (this.#state !== 'open') throw this.#refusal();
    return new Snapshot(this.#db, (range, error) => this.#readError(describeRange(range), error));
  }

  /** Give the space of deleted entries between the two keys back to the file system; LevelDB does it late by itself. */
  async compact(start: string, end: string): Promise<void> {
    if (this.#state !== 'open') throw this.#refusal();
    try {
      await this.#db.compactRange(start, end);
    } catch (error) {
      throw this.#readError(`${start}…${end}`, error);
    }
  }

  /** Finish pending writes and close. What `persist` still holds because the store fails is given up. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    while (this.#writer !== undefined) await this.#writer;
    // Another caller may have closed it, or asked for a write, while this one waited.
    if ((this.#state as string) === 'closed') return;
    this.#state = 'closed';
    this.#closing.abort();
    await this.#recovery;
    for (const p of this.#pending.splice(0)) p.reject(this.#refusal());
    await this.#db.close();
  }

  #enqueue(operations: StoreOperation[], persist: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let bytes = 0;
      for (const o of operations) bytes += o.key.length + (o.type === 'put' ? o.value.length : 0);
      this.#pending.push({ operations, bytes, persist, resolve, reject });
      this.#startWriter();
    });
  }

  #startWriter(): void {
    if (this.#writer !== undefined || this.#state !== 'open' || this.#pending.length === 0) return;
    this.#writer = this.#writeGroups().finally(() => {
      this.#writer = undefined;
      this.#startWriter();
    });
  }

  async #writeGroups(): Promise<void> {
    while (this.#pending.length > 0 && this.#state === 'open') {
      const group = this.#takeGroup();
      try {
        await this.#db.batch(
          group.length === 1 && group[0] !== undefined ? group[0].operations : group.flatMap((p) => p.operations),
          { sync: true },
        );
        await this.#commitLog.settle();
        for (const p of group) p.resolve();
      } catch (error) {
        this.#writeFailed(group, error);
      }
    }
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const p of this.#pending) {
      if (count > 0 && bytes + p.bytes > GROUP_BYTES) break;
      bytes += p.bytes;
      count++;
    }
    return this.#pending.splice(0, count);
  }

  #writeFailed(group: Pending[], error: unknown): void {
    if (errorCode(error)?.startsWith('LEVEL_INVALID_') === true || error instanceof TypeError) {
      // Nothing is wrong with the disk: a caller passed an invalid key or value. Waiting would not help.
      for (const p of group) p.reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#fail(error);
    const waiting = [...group, ...this.#pending];
    this.#pending = waiting.filter((p) => p.persist);
    for (const p of waiting) if (!p.persist) p.reject(this.#refusal());
  }

  #refusal(): SealpostError {
    if (this.#state === 'closed') return new SealpostError('store-failed', `the store in ${this.#folder} is closed`);
    return new SealpostError('store-failed', `the store in ${this.#folder} takes no writes`, { cause: this.#failure });
  }

  #readError(what: string, error: unknown): SealpostError {
    if (isDamage(error)) {
      return new SealpostError('store-damaged', `the store in ${this.#folder} is damaged at ${what}`, { cause: error });
    }
    return new SealpostError('store-failed', `cannot read ${what} in ${this.#folder}`, { cause: error });
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#log.error(
      { store: this.#folder, error: errorText(error) },
      'the store failed: nothing is accepted until it can be written again',
    );
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    await this.#db
      .close()
      .catch((error: unknown) =>
        this.#log.warn({ store: this.#folder, error: errorText(error) }, 'the failed store could not be closed'),
      );
    while (this.#state === 'failed') {
      await sleep(REOPEN_INTERVAL_MS, this.#closing.signal);
      if (this.#state !== 'failed') return;
      try {
        const damage = isDamage(this.#failure) ? this.#failure : undefined;
        const db = await openDatabase(this.#folder, this.#log, this.#options, damage);
        this.#db = db;
        this.#commitLog = new CommitLog(this.#folder);
        await db.batch([{ type: 'put', key: PROBE_KEY, value: Buffer.alloc(4096) }], { sync: true });
        await db.batch([{ type: 'del', key: PROBE_KEY }], { sync: true });
        // `close` may have come meanwhile: then it closes this handle.
        if (this.#state !== 'failed') return;
        this.#state = 'open';
        this.#log.info({ store: this.#folder }, 'the store works again');
        this.#startWriter();
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        await this.#db
          .close()
          .catch((e: unknown) =>
            this.#log.debug({ store: this.#folder, error: errorText(e) }, 'the failed store could not be closed'),
          );
        this.#log.warn(
          { store: this.#folder, error: errorText(error) },
          'the store still cannot be opened and written',
        );
      }
    }
  }
}

function describeRange(range: Range): string {
  return `${range.gt ?? range.gte ?? 'its start'}…${range.lt ?? range.lte ?? 'its end'}`;
}

/** Resolves after `ms`, or as soon as the signal comes. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}
