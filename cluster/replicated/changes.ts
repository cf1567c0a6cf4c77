import type { z } from 'zod';
import { SealpostError } from '#shared/errors.ts';
import type { Store } from '../store.ts';
import type { Follower } from './follower.ts';
import { nextRecord, type ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';
import type { Seal } from './seal.ts';
import { noQuorum, storeFailed, Writer } from './writer.ts';

/** The changes that a node makes in a map, one after the other. `map.ts` describes the protocol. */

export type Changed<T> = { value: T | undefined; version: number; revision: number };

/** The next value of a record; undefined to change nothing. Called again when another node was faster. */
export type Make<T> = (current: ReplicatedRecord<T> | undefined) => { value: T | undefined } | undefined;

export type ChangesDeps<T> = {
  store: Store;
  schema: z.ZodType<T>;
  node: string;
  seal?: Seal | undefined;
  records: ReplicatedRecords<T>;
  /** Undefined: no bus, local only. */
  follower: Follower<T> | undefined;
  onChanged: (keys: string[]) => void;
};

/** How long a change waits for a map that is behind. */
const BEHIND_LIMIT_MS = 8000;
/** How long a change is tried, while others are faster or servers change roles. */
const CHANGE_LIMIT_MS = 15_000;

const NO_KEY =
  'no named encryption key is configured on this node (credentials.nek): no other node would believe what it changes';

export class Changes<T> {
  readonly #deps: ChangesDeps<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #writer: Writer<T> | undefined;
  /** The last change that was asked for. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: ChangesDeps<T>) {
    this.#deps = deps;
    this.#records = deps.records;
    this.#writer = deps.follower && new Writer(deps.follower, deps.records, deps.store);
  }

  /** Whether this node may change records: in a cluster, one without a key for the seal may not. */
  get possible(): boolean {
    return this.#deps.follower === undefined || this.#deps.seal?.keys.length !== 0;
  }

  /** Resolves when no change is under way. */
  get ended(): Promise<unknown> {
    return this.#last;
  }

  /** Make a change when those before it have ended. Fails as `ReplicatedMap.update` does. */
  make(key: string, make: Make<T>): Promise<Changed<T>> {
    const { follower } = this.#deps;
    if (!this.possible) return Promise.reject(new SealpostError('no-nek', NO_KEY));
    const change = this.#last.then(() =>
      follower === undefined || this.#writer === undefined
        ? this.#makeHere(key, make)
        : this.#makeInCluster(follower, this.#writer, key, make),
    );
    this.#last = change.catch(() => undefined);
    return change;
  }

  /** Store a record of another node that is newer than the one that is held. Fails with `store-failed`. */
  async adopt(record: ReplicatedRecord<T>): Promise<void> {
    await this.#records.put(record);
    this.#deps.onChanged([record.key]);
  }

  /** The record that `make` makes of the present one; undefined when it changes nothing. */
  #next(key: string, make: Make<T>): ReplicatedRecord<T> | undefined {
    const { schema, node, store, seal } = this.#deps;
    if (store.failure !== undefined) throw storeFailed('this node cannot store changes', store.failure);
    refuseUnreadable(this.#records, key);
    const current = this.#records.get(key);
    const next = make(current);
    if (next === undefined) return undefined;
    return nextRecord(schema, current, { key, node, ...next }, seal);
  }

  #result(key: string): Changed<T> {
    const record = this.#records.get(key);
    return { value: record?.value, version: record?.version ?? 0, revision: this.#records.revision };
  }

  async #makeHere(key: string, make: Make<T>): Promise<Changed<T>> {
    const record = this.#next(key, make);
    if (record !== undefined) await this.adopt(record);
    return this.#result(key);
  }

  async #makeInCluster(follower: Follower<T>, writer: Writer<T>, key: string, make: Make<T>): Promise<Changed<T>> {
    const end = performance.now() + CHANGE_LIMIT_MS;
    let attachment = await follower.following(BEHIND_LIMIT_MS, { upWhenAway: true });
    for (;;) {
      if (attachment === undefined) throw noQuorum('keep', follower.problem);
      const record = this.#next(key, make);
      if (record === undefined) return this.#result(key);
      if (Buffer.byteLength(record.json) > attachment.log.longest) {
        const text = `the record ${key} would be longer than NATS carries: raise max_payload of its servers`;
        throw new SealpostError('too-large', text);
      }
      if (await writer.publish(attachment, record)) {
        const { value, version } = record;
        return { value, version, revision: this.#records.revision };
      }
      // Another node was faster, or the server that was asked is no longer the leader.
      if (performance.now() > end) throw noQuorum('keep', 'other nodes change records all the time');
      attachment = await follower.following(end - performance.now(), { upWhenAway: false });
    }
  }
}

/** Refuse to change what this program cannot read. Fails with `unreadable-record`. */
function refuseUnreadable(records: ReplicatedRecords<unknown>, key: string): void {
  const found = records.unreadable(key);
  if (found === undefined) return;
  throw new SealpostError(
    'unreadable-record',
    `the record ${key} is of a newer Sealpost and cannot be changed by this one: ${found.problem}`,
  );
}
