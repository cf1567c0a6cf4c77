import type { z } from 'zod';
import { errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { JetStreamAccess } from '../bus/jetstream-access.ts';
import type { Store } from '../store.ts';
import { type Changed, Changes } from './changes.ts';
import { Follower } from './follower.ts';
import type { ReplicatedRecord } from './record.ts';
import { type LiveRecord, ReplicatedRecords } from './records.ts';
import type { Refused } from './refused.ts';
import { newestCopy } from './repair.ts';
import { findRestorable, type RecordPage, type Restored, recordPage } from './restore.ts';
import type { Seal } from './seal.ts';

/**
 * Records that every node of a cluster holds and any node changes, one change at a time.
 *
 * Where things are. Each node works from its own LevelDB (`records.ts`). A JetStream stream (`jetstream-stream.ts`)
 * with one message for each key carries changes and puts them in one order; it is not relied on to keep them: JetStream
 * acknowledges before it syncs. A change is answered when the stream has it and the
 * own LevelDB has synced it.
 *
 * Changing. A change is published with the sequence up to which this node has applied the stream, and the stream takes
 * it only when that is its last one (`jetstream-log.ts`). So its writer had seen everything before it, of all records:
 * changes are serializable. A writer that was too slow waits for what came between and tries again.
 *
 * A lost answer. The message may have been taken or not, or may still be on its way. After reading again:
 *   - the record, or a later version of it that names its predecessors, has our write id: it was made;
 *   - it has another write id at that version, or the stream has gone past the expected sequence: it was not made and
 *     never will be, and is tried again from the newest state;
 *   - the stream still ends at the expected sequence: the same message is sent again; at most one is taken.
 *
 * Both ways. At every connection, and every 10 minutes, the whole stream is read and merged (`record.ts` says
 * which record wins), then what it lacks or has older is written into it, in the same way as changes
 * (`follower.ts`). So it does not matter which side lost something: a stream that was wiped or went
 * back, a LevelDB that is empty or damaged, a node that was alone. What the stream took and LevelDB could not write is
 * retried (`Store.persist`), and after a restart comes again from the stream.
 * A stream that was created again or went back is written to for 5 s only to restore it, so that each connected node
 * restores what it alone may hold before any node changes the rest.
 *
 * A tombstone (a record without value) is kept for ever: a node that was away cannot bring the old record back.
 * Versions count on through tombstones; their sum is the map's revision, the same on all nodes at the same state.
 *
 * What is taken in, from the stream or from disk, is checked first (`seal.ts`); what is refused in the stream is written
 * over with what this node holds.
 *
 * Without a bus the map is local: changes go to LevelDB directly.
 */

/** A live record. */
export type Replicated<T> = LiveRecord<T>;

export type MapState = 'local' | 'following' | 'behind' | 'away';

export type ReplicatedMapOptions<T> = {
  /** Open; its owner closes it after the map. */
  store: Store;
  /** The map owns all keys of the store that begin with it: `map!`. */
  prefix: string;
  /** Name of the stream: `sealpost-credentials`. Letters, digits, `-`, `_`. */
  bucket: string;
  /** What a value is. The JSON of a value must read back as that value. */
  schema: z.ZodType<T>;
  node: string;
  log: Logger;
  /** Undefined: records are believed as they come. */
  seal?: Seal;
  /** Undefined: no bus, local only. */
  jetStream: JetStreamAccess | undefined;
  replicas: number;
};

export type Updater<T> = (current: T | undefined, key: string) => T | undefined;

/** How long `open` waits for the stream. */
const OPEN_LIMIT_MS = 3000;

const hasMac = (record: ReplicatedRecord<unknown> | undefined, nek: string): boolean =>
  record?.macs?.some((mac) => mac.nek === nek) === true;

export class ReplicatedMap<T> {
  readonly #options: ReplicatedMapOptions<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #follower: Follower<T> | undefined;
  readonly #changes: Changes<T>;
  readonly #changeListeners = new Set<(keys: readonly string[]) => void>();
  readonly #stateListeners = new Set<(state: MapState) => void>();
  readonly #process = newId();
  /** The last answer of `without`, which is asked every second. */
  #without: { nek: string; shown: number; keys: readonly string[] } | undefined;

  private constructor(options: ReplicatedMapOptions<T>, records: ReplicatedRecords<T>) {
    this.#options = options;
    this.#records = records;
    const { jetStream: access, bucket, replicas, schema, log, seal } = options;
    const onChanged = (keys: readonly string[]): void => this.#notify(this.#changeListeners, keys);
    this.#follower =
      access &&
      new Follower({
        ...{ access, bucket, replicas, schema, log, records, seal },
        onChanged,
        onState: (state) => this.#notify(this.#stateListeners, state),
      });
    this.#changes = new Changes({ ...options, records, follower: this.#follower, onChanged });
  }

  /**
   * Read the records from disk, and catch up with the cluster as far as that is done within a few seconds.
   * Fails with `store-failed`; never because NATS is away.
   */
  static async open<T>(options: ReplicatedMapOptions<T>): Promise<ReplicatedMap<T>> {
    const { jetStream } = options;
    const map = new ReplicatedMap(options, await ReplicatedRecords.load(options));
    map.#follower?.start();
    if (jetStream?.current !== undefined) await map.#follower?.following(OPEN_LIMIT_MS, { upWhenAway: false });
    return map;
  }

  /** The record; undefined when there is none or it was deleted. Values are frozen. */
  get(key: string): Replicated<T> | undefined {
    const record = this.#records.get(key);
    return record?.value === undefined ? undefined : { key, version: record.version, value: record.value };
  }

  /** When the newest version of a record was written, ISO 8601, by the clock of its writer. */
  timeOf(key: string): string | undefined {
    return this.#records.get(key)?.time;
  }

  /** Every live record, ordered by key; the same array until something changes. */
  entries(): readonly Replicated<T>[] {
    return this.#records.live();
  }

  /** Keys of the records whose newest version only a newer Sealpost can read: this node does not change them. */
  get unreadable(): string[] {
    return this.#records.unreadableKeys();
  }

  /** Keys of the records that there were on this disk and that are not held now: damaged, or of a newer Sealpost. */
  get lost(): string[] {
    return this.#records.lostKeys();
  }

  /** The sum of all versions, tombstones included: the same on all nodes at the same state. */
  get revision(): number {
    return this.#records.revision;
  }

  /** Names the state of the records in this process, for `changedSince`. */
  get cursor(): string {
    return `${this.#process}:${this.#records.shown}`;
  }

  /** Keys of the records that changed since a cursor was given, deleted ones among them; undefined: it is not ours. */
  changedSince(cursor: string): string[] | undefined {
    const [process, shown] = cursor.split(':');
    return process === this.#process ? this.#records.changedSince(Number(shown)) : undefined;
  }

  /**
   * `local`: no bus. `following`: connected, and everything is applied. `behind`: NATS is there, not everything is
   * applied yet, or this disk takes nothing. `away`: no NATS, or JetStream has no majority; the map works from what it
   * holds.
   */
  get state(): MapState {
    if (this.#follower === undefined) return 'local';
    const { state } = this.#follower;
    return state === 'following' && this.#options.store.failure !== undefined ? 'behind' : state;
  }

  /** Why it is not following, or what is wrong although it is; for people. */
  get problem(): string | undefined {
    const { failure } = this.#options.store;
    return this.#follower?.problem ?? (failure && `this node cannot store changes: ${errorText(failure)}`);
  }

  /**
   * Compare and set. `fn` is given the newest value, may read other records of the map, and returns the new value,
   * undefined to delete, or the very same object to change nothing; it throws to give up. It is called again when
   * another node was faster, so it must have no effects. Resolves when the change is in the stream and synced here.
   *
   * Fails with what `fn` threw, `invalid-record` or `too-large` for what it returned, `unreadable-record`, `no-quorum`
   * (the change was not made, or the text says that this is not known), `store-failed` (this disk takes nothing; where
   * the text says so, the change was made in the cluster).
   */
  update(key: string, fn: Updater<T>): Promise<Changed<T>> {
    return this.#changes.make(key, (current) => {
      const value = fn(current?.value, key);
      return value === current?.value ? undefined : { value };
    });
  }

  /** Whether this node, in this process or an earlier one, has read the stream: then what it holds is what there was. */
  get hasFollowed(): boolean {
    return this.#records.position !== undefined;
  }

  /** Whether this node may change records: in a cluster, one without a key for the seal may not. */
  get canChange(): boolean {
    return this.#changes.possible;
  }

  /** Whether records without a MAC are refused. */
  get sealed(): boolean {
    return this.#records.sealed;
  }

  /** From now on, and after every restart, records without a MAC are refused. */
  markSealed(): Promise<void> {
    return this.#records.markSealed();
  }

  /** Records that were not taken in, from the stream or from disk, in the last day. */
  get refused(): (Refused & { held: boolean })[] {
    return this.#records.refused.list().map((r) => ({ ...r, held: this.#records.get(r.key) !== undefined }));
  }

  /** Keys of the records, deleted ones among them, that should have a MAC by this NEK (a fingerprint) and have none. */
  without(nek: string): readonly string[] {
    if (this.#options.seal === undefined) return [];
    const { shown } = this.#records;
    if (this.#without?.nek !== nek || this.#without.shown !== shown) {
      const keys = this.#records.keys().filter((key) => !hasMac(this.#records.get(key), nek));
      this.#without = { nek, shown, keys };
    }
    return this.#without.keys;
  }

  /** Write a record again that has no MAC by this NEK. Fails like `update`. */
  async reseal(key: string, nek: string): Promise<void> {
    await this.#changes.make(key, (current) =>
      current === undefined || hasMac(current, nek) ? undefined : { value: current.value },
    );
  }

  /** A record as it is held here, for another node's `repair`; undefined where there is none. */
  copyOf(key: string): string | undefined {
    return this.#records.get(key)?.json;
  }

  /**
   * Write a record again, from the newest authentic one of this node and of copies of others, over whatever is in the
   * stream; where there is none, a tombstone. Resolves to which copy it was, if it was one. Fails like `update`.
   */
  async repair(key: string, copies: readonly string[]): Promise<Changed<T> & { copy: number | undefined }> {
    const found = newestCopy({ ...this.#options, records: this.#records }, key, copies);
    if (found !== undefined) await this.#changes.adopt(found.record);
    const changed = await this.#changes.make(key, (current) => ({ value: current?.value }));
    this.#records.refused.forget(key);
    return { ...changed, copy: found?.copy };
  }

  /** Records after a key, tombstones among them, as JSON for a backup: as many as fit into so many bytes. */
  page(after: string | undefined, bytes: number): RecordPage {
    return recordPage(this.#records, after, bytes);
  }

  /** Take a record of a backup, where nothing newer or other is held; of a closed store only. Fails with `store-failed`. */
  async restore(json: string, { dryRun }: { dryRun: boolean }): Promise<Restored> {
    if (this.#follower !== undefined) throw new Error('the records of a cluster are not restored while it is followed');
    const { record, ...found } = findRestorable({ ...this.#options, records: this.#records }, json);
    if (record !== undefined && !dryRun) await this.#changes.adopt(record);
    return found;
  }

  /** Called with the keys that this node or others changed, when that is synced here; with many while catching up. */
  onChange(listener: (keys: readonly string[]) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onState(listener: (state: MapState) => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** Stop following. Changes under way fail with `no-quorum`. The store stays open. */
  async close(): Promise<void> {
    await this.#follower?.close();
    await this.#changes.ended;
    this.#changeListeners.clear();
    this.#stateListeners.clear();
  }

  #notify<E>(listeners: ReadonlySet<(event: E) => void>, event: E): void {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error({ err: error }, 'a listener of the replicated map failed');
      }
    }
  }
}
