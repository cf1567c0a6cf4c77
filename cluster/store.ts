import { ClassicLevel, type OpenOptions } from 'classic-level';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * A LevelDB that keeps its word: what `write` has answered is on disk, synced.
 *
 * Every write goes through one group-committing writer: while a batch is being written and synced, what arrives
 * waits and becomes the next batch. This file holds the only call in the code base that writes, and it syncs.
 * (LevelDB's own default is `sync: false`; and it does not sync a log file it rotates away from, so a later synced
 * write says nothing about an earlier unsynced one.)
 *
 * States:
 *   open     reads and writes work.
 *   failed   entered by any write error (disk full, I/O error). LevelDB may have left half a record in its log, and
 *            what it appends behind it could be unreadable after a restart; so nothing more is written to this
 *            handle. Writes and reads are refused with `store-failed`, and the database is closed and opened anew
 *            every second until a test write succeeds. → open
 *   closed   by `close`.
 *
 * A write that was answered with an error may still be found after reopening: the caller who must not have it there
 * deletes it with `persist`, which waits out failures.
 */

export type StoreOperation = { type: 'put'; key: string; value: Buffer } | { type: 'del'; key: string };

export type Range = { gt?: string; gte?: string; lt?: string; lte?: string; limit?: number; reverse?: boolean };

type Pending = { operations: StoreOperation[]; bytes: number; resolve: () => void; reject: (error: Error) => void };

/** Bytes that one group commit carries at most, so that nobody waits long behind a large one. */
const GROUP_BYTES = 4 * 1024 * 1024;
const REOPEN_INTERVAL = 1000;
const PROBE_KEY = '!probe';

export class Store {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #options: OpenOptions;
  #db: ClassicLevel<string, Buffer>;
  #state: 'open' | 'failed' | 'closed' = 'open';
  #failure: Error | undefined;
  #pending: Pending[] = [];
  #writing = false;
  #recovery: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();

  private constructor(folder: string, log: Logger, options: OpenOptions, db: ClassicLevel<string, Buffer>) {
    this.#folder = folder;
    this.#log = log;
    this.#options = options;
    this.#db = db;
  }

  /** Open the database in `folder`, made if it is not there. Fails with `store-locked` or `store-failed`. */
  static async open(folder: string, log: Logger, options: OpenOptions = {}): Promise<Store> {
    return new Store(folder, log, options, await openLevel(folder, log, options));
  }

  /** Why the store takes nothing right now; undefined when it works. */
  get failure(): Error | undefined {
    return this.#state === 'open' ? undefined : (this.#failure ?? new Error('the store is closed'));
  }

  /** Resolves when the operations are on disk, synced, all or none. Rejects with `store-failed`. */
  write(operations: StoreOperation[]): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(this.#refusal());
    return new Promise((resolve, reject) => {
      let bytes = 0;
      for (const o of operations) bytes += o.key.length + (o.type === 'put' ? o.value.length : 0);
      this.#pending.push({ operations, bytes, resolve, reject });
      if (!this.#writing) void this.#writeGroups();
    });
  }

  /** Like `write`, but waits out failures; for what has happened already and must be remembered. Rejects only when the store is closed. */
  async persist(operations: StoreOperation[]): Promise<void> {
    for (;;) {
      try {
        return await this.write(operations);
      } catch (error) {
        if (this.#state === 'closed') throw error;
        await this.#recovery;
      }
    }
  }

  async get(key: string): Promise<Buffer | undefined> {
    if (this.#state !== 'open') throw this.#refusal();
    return this.#db.get(key);
  }

  /** Entries of a range in the order of their keys, from one snapshot. */
  async *entries(range: Range): AsyncGenerator<[string, Buffer]> {
    if (this.#state !== 'open') throw this.#refusal();
    yield* this.#db.iterator(range);
  }

  async *keys(range: Range): AsyncGenerator<string> {
    if (this.#state !== 'open') throw this.#refusal();
    yield* this.#db.keys(range);
  }

  /** Finish pending writes and close. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    while (this.#writing || this.#pending.length > 0) await new Promise((resolve) => setImmediate(resolve));
    this.#state = 'closed';
    this.#closing.abort();
    await this.#recovery;
    await this.#db.close();
  }

  async #writeGroups(): Promise<void> {
    this.#writing = true;
    while (this.#pending.length > 0 && this.#state === 'open') {
      const group = this.#takeGroup();
      try {
        await this.#db.batch(
          group.length === 1 && group[0] !== undefined ? group[0].operations : group.flatMap((p) => p.operations),
          { sync: true },
        );
        for (const p of group) p.resolve();
      } catch (error) {
        this.#fail(error);
        for (const p of group) p.reject(this.#refusal());
      }
    }
    for (const p of this.#pending.splice(0)) p.reject(this.#refusal());
    this.#writing = false;
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

  #refusal(): SealpostError {
    if (this.#state === 'closed') return new SealpostError('store-failed', `the store in ${this.#folder} is closed`);
    return new SealpostError('store-failed', `the store in ${this.#folder} takes no writes`, { cause: this.#failure });
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#log.error(
      { store: this.#folder, err: error },
      'store failed: nothing is accepted until it can be written again',
    );
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    await this.#db
      .close()
      .catch((error: unknown) => this.#log.warn({ store: this.#folder, err: error }, 'closing the failed store'));
    while (this.#state === 'failed') {
      await sleep(REOPEN_INTERVAL, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      try {
        const db = await openLevel(this.#folder, this.#log, this.#options);
        this.#db = db;
        await db.batch([{ type: 'put', key: PROBE_KEY, value: Buffer.alloc(4096) }], { sync: true });
        await db.batch([{ type: 'del', key: PROBE_KEY }], { sync: true });
        this.#state = 'open';
        this.#log.info({ store: this.#folder }, 'store works again');
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error));
        await this.#db
          .close()
          .catch((e: unknown) => this.#log.debug({ store: this.#folder, err: e }, 'closing the failed store'));
        this.#log.warn({ store: this.#folder, reason: errorText(error) }, 'store still fails');
      }
    }
  }
}

async function openLevel(folder: string, log: Logger, options: OpenOptions): Promise<ClassicLevel<string, Buffer>> {
  const make = async (): Promise<ClassicLevel<string, Buffer>> => {
    const db = new ClassicLevel<string, Buffer>(folder, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
    await db.open(options);
    return db;
  };
  try {
    return await make();
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (errorCode(cause) === 'LEVEL_LOCKED') {
      throw new SealpostError(
        'store-locked',
        `another process uses ${folder}: stop it, or give this one its own node.data`,
        { cause },
      );
    }
    if (errorCode(cause) !== 'LEVEL_CORRUPTION') {
      throw new SealpostError('store-failed', `cannot open the store in ${folder}`, { cause: cause ?? error });
    }
    // Repair keeps every table and log record that can be read; what cannot is moved to `lost/`, not deleted.
    log.error({ store: folder, err: cause }, 'store damaged: repairing, unreadable files go to its lost/ folder');
    await ClassicLevel.repair(folder);
    return make();
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
