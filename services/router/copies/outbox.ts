import type { StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { CopyChange } from '#shared/queue/copy-change.ts';
import { MOST_COPIES, type PairName } from '../contract.ts';
import type { CopyPlace } from '../store/records.ts';

/**
 * What goes to one holder, in order, one call after the other: what arrives while a call is under way goes with the
 * next one, as in a group commit.
 *
 *   reachable → unreachable (a call failed) → reachable (a later call was answered); closed for good.
 *
 * A copy of a message that is being accepted fails with the call that carries it, or immediately while the holder is
 * unreachable: a client waits for it, and another holder may take it. Changes of copies that the holder has (`follow`,
 * `drop`) are kept until they have reached it; they are sent again every second.
 */

/** A record of the queue as it lies on disk. */
export type SealedRecord = { key: string; value: Buffer };

type Item = {
  change: CopyChange;
  values: Buffer[];
  bytes: number;
  /** It is kept when a call fails. */
  kept: boolean;
  resolve: () => void;
  reject: (error: unknown) => void;
};

/** Bytes of records that one call carries, give or take one record. */
const CALL_BYTES = 256 * 1024;
const RETRY_MS = 1000;
/** Changes that wait for an unreachable holder; beyond that, the holder is given up to save memory. */
const MOST_KEPT = 100_000;

/** Characters of a receipt, and of all that waits, beyond which receipts are not sent. */
const LONGEST_RECEIPT = 512 * 1024;
const MOST_WAITING = 32 * 1024 * 1024;

export type OutboxDeps = {
  pair: PairName;
  place: CopyPlace;
  send: (changes: CopyChange[], bytes: Buffer) => Promise<void>;
  /** The pair has ended: `superseded`, `other-store`, or `too-much` waits for the holder. */
  onEnd: (code: string) => void;
  log: Logger;
};

export class Outbox {
  readonly place: CopyPlace;
  readonly #deps: OutboxDeps;
  #items: Item[] = [];
  #waitingBytes = 0;
  #sending = false;
  #unreachable = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: OutboxDeps) {
    this.#deps = deps;
    this.place = deps.place;
  }

  get unreachable(): boolean {
    return this.#unreachable || this.#closed;
  }

  /** Bytes that wait to be sent. */
  get load(): number {
    return this.#waitingBytes;
  }

  /** Whether everything has reached the holder. */
  get empty(): boolean {
    return this.#items.length === 0 && !this.#sending;
  }

  /**
   * Send records of a message that has no copy there yet; with `complete` it is whole. Rejects when they did not
   * arrive.
   */
  async copy(id: string, records: readonly SealedRecord[], complete: boolean): Promise<void> {
    if (this.unreachable) throw new SealpostError('not-accepting', `node ${this.place.node} takes no copies right now`);
    await Promise.all(
      portions(records).map((portion, n, all) => this.#add(id, portion, complete && n === all.length - 1, false)),
    );
  }

  /**
   * Send what was written on this node about a message; resolves when the copy has it, rejects only when the pair has
   * ended.
   */
  async follow(id: string, operations: readonly StoreOperation[]): Promise<void> {
    const records = operations.flatMap((o) => (o.type === 'put' ? [{ key: o.key, value: o.value }] : []));
    await Promise.all(portions(records).map((portion) => this.#add(id, portion, false, true)));
  }

  /**
   * The message no longer needs a copy; the holder keeps its receipt, if one is given. Like `follow`. A receipt that is
   * too long for a call stays on this node alone, and those that do not fit into memory while the holder is away.
   */
  drop(id: string, receipt?: string): Promise<void> {
    const fits = receipt !== undefined && receipt.length <= LONGEST_RECEIPT && this.#waitingBytes <= MOST_WAITING;
    const change: CopyChange = fits ? { id, drop: true, receipt } : { id, drop: true };
    return this.#push({ change, values: [], bytes: fits ? receipt.length : 0, kept: true });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const item of this.#items.splice(0)) item.reject(ended(this.place));
  }

  #add(id: string, records: readonly SealedRecord[], complete: boolean, kept: boolean): Promise<void> {
    const put = records.map(({ key, value }) => ({ key, size: value.length }));
    const values = records.map(({ value }) => value);
    return this.#push({ change: { id, put, complete }, values, bytes: sizeOf(records), kept });
  }

  #push(item: Omit<Item, 'resolve' | 'reject'>): Promise<void> {
    if (this.#closed) return Promise.reject(ended(this.place));
    return new Promise((resolve, reject) => {
      this.#items.push({ ...item, resolve, reject });
      this.#waitingBytes += item.bytes;
      if (this.#items.length > MOST_KEPT) this.#deps.onEnd('too-much');
      else if (!this.#unreachable) void this.#pump();
    });
  }

  async #pump(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#items.length > 0 && !this.#closed) {
      const items = this.#take();
      try {
        await this.#deps.send(
          items.map(({ change }) => change),
          Buffer.concat(items.flatMap(({ values }) => values)),
        );
        if (this.#unreachable)
          this.#deps.log.info({ holder: this.place.node }, 'the holder of second copies is reachable again');
        this.#unreachable = false;
        for (const item of items) item.resolve();
      } catch (error) {
        this.#failed(items, error);
        break;
      }
    }
    this.#sending = false;
  }

  #take(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#items) {
      if (count > 0 && (bytes + item.bytes > CALL_BYTES || count === MOST_COPIES)) break;
      bytes += item.bytes;
      count++;
    }
    this.#waitingBytes -= bytes;
    return this.#items.splice(0, count);
  }

  #failed(items: readonly Item[], error: unknown): void {
    const code = errorCode(error);
    if (!this.#unreachable) {
      this.#deps.log.warn(
        { holder: this.place.node, error: errorText(error) },
        'the holder of second copies is unreachable',
      );
    }
    this.#unreachable = true;
    const all = [...items, ...this.#items];
    this.#items = all.filter((item) => item.kept);
    this.#waitingBytes = this.#items.reduce((sum, item) => sum + item.bytes, 0);
    for (const item of all) if (!item.kept) item.reject(error);
    if (this.#closed) {
      for (const item of this.#items.splice(0)) item.reject(ended(this.place));
    } else {
      if (code === 'superseded' || code === 'other-store') this.#deps.onEnd(code);
      this.#timer = setTimeout(() => void this.#probe(), RETRY_MS).unref();
    }
  }

  /** Try again; where there is nothing to send, the next copy finds out. */
  async #probe(): Promise<void> {
    if (this.#items.length === 0) this.#unreachable = false;
    else await this.#pump();
  }
}

function ended({ node }: CopyPlace): SealpostError {
  return new SealpostError('superseded', `the pair with node ${node} has ended`);
}

function sizeOf(records: readonly SealedRecord[]): number {
  return records.reduce((sum, { value }) => sum + value.length, 0);
}

/** Records in portions that one call can carry. */
function portions(records: readonly SealedRecord[]): SealedRecord[][] {
  const all: SealedRecord[][] = [];
  let bytes = CALL_BYTES;
  for (const record of records) {
    if (bytes + record.value.length > CALL_BYTES) {
      all.push([]);
      bytes = 0;
    }
    all.at(-1)?.push(record);
    bytes += record.value.length;
  }
  return all;
}
