import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { CopyChange } from '#shared/queue/copy-change.ts';
import { keepReceipt } from '../receipts/kept.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import { keys, rangeOf } from '../store/records.ts';
import { asPair, type ClaimRecord, pairKey } from './claims.ts';
import type { LeaseWatch } from './lease-watch.ts';

/**
 * The copies of other nodes' mail on this disk. Records lie as their owner sealed them, below
 * `copy!<owner>.<generation>`:
 *
 *   copy!<owner>.<generation>!<queueId>!<key of the record in the owner's queue>
 *
 * A copy is complete when its owner has said so with its last record; others were never answered with 250 and are never
 * taken over. Memory knows what is held, so that a copy is deleted without reading: changes of one message take effect in
 * the order of their arrival (`cluster/store.ts`). Where LevelDB cannot read a part of the keys, there may be copies of
 * which memory does not know (`damage`): then of no pair is it said that all of it was taken over.
 */

/** How many records a copy has; `touched`: when it was last changed, by `HeldCopies.now`. */
type Held = { pieces: number; recipients: number; complete: boolean; touched: number };

/** For the log, where there is `damage`. */
export const COPIES_DAMAGED =
  'some copies of the mail of other nodes cannot be read on this disk: a node whose mail is taken over here keeps it, undelivered, until this router starts with an empty disk';

const NUMBERED = /^(recipient|body)!([0-9A-Z]{16})!(\d{5})$/;

export class HeldCopies {
  readonly #store: Store;
  readonly #index: SearchIndex;
  readonly #pairs = new Map<string, Map<string, Held>>();
  #now = 0;
  /** Why not all keys could be read. */
  damage: string | undefined;

  private constructor(store: Store, index: SearchIndex) {
    this.#store = store;
    this.#index = index;
  }

  /** Find what is held. A copy without its message record, which comes last, was never complete. */
  static async load(store: Store, index: SearchIndex): Promise<HeldCopies> {
    const held = new HeldCopies(store, index);
    try {
      for await (const key of store.keys(rangeOf('copy'))) {
        const [, pair = '', id = '', ...original] = key.split('!');
        held.#note(pair, id, original.join('!'));
      }
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      held.damage = errorText(error);
    }
    return held;
  }

  /** Messages held for all owners. */
  get size(): number {
    let size = 0;
    for (const copies of this.#pairs.values()) size += copies.size;
    return size;
  }

  /** The number of changes so far. */
  get now(): number {
    return this.#now;
  }

  /** Every pair of which something is held. */
  pairs(): { owner: string; generation: number }[] {
    return [...this.#pairs.keys()].map((pair) => {
      const [owner = '', generation] = pair.split('.');
      return { owner, generation: Number(generation) };
    });
  }

  ids(owner: string, generation: number): string[] {
    return [...(this.#pairs.get(pairName(owner, generation))?.keys() ?? [])];
  }

  isComplete(owner: string, generation: number, id: string): boolean {
    return this.#pairs.get(pairName(owner, generation))?.get(id)?.complete === true;
  }

  /**
   * Make changes, all or none; resolves when they are on disk. Rejects with `store-failed`, or with `malformed` for a
   * list that does not fit its bytes. `ownerNode` names the owner in receipts. After a failed write nothing new counts as complete, and nothing as deleted.
   */
  async change(
    { owner, generation, ownerNode = owner }: { owner: string; generation: number; ownerNode?: string | undefined },
    changes: readonly CopyChange[],
    bytes: Uint8Array,
  ): Promise<void> {
    const pair = pairName(owner, generation);
    const operations: StoreOperation[] = [];
    const keysOf = changes.map((change) => ('drop' in change ? [] : checkedKeys(change)));
    const receipts = changes.map((change) => ('drop' in change ? this.#keptReceipt(change, ownerNode) : []));
    const total = changes.reduce((sum, c) => sum + ('drop' in c ? 0 : c.put.reduce((n, { size }) => n + size, 0)), 0);
    if (total !== bytes.length) throw malformed(`${bytes.length} bytes came where ${total} were announced`);
    const before = this.#copyOf(pair, changes);
    this.#now++;
    let at = 0;
    for (const [n, change] of changes.entries()) {
      if ('drop' in change) {
        operations.push(...this.#removal(pair, change.id), ...(receipts[n] ?? []));
        continue;
      }
      for (const [i, { size }] of change.put.entries()) {
        const key = keysOf[n]?.[i] ?? '';
        const value = Buffer.from(bytes.buffer, bytes.byteOffset + at, size);
        at += size;
        // A change of a message that is not held, or not whole, must not make it look whole.
        if (key === keys.message(change.id) && !change.complete && !this.isComplete(owner, generation, change.id))
          continue;
        operations.push({ type: 'put', key: keys.copy(pair, change.id, key), value });
        this.#note(pair, change.id, key, change.complete);
      }
    }
    if (operations.length === 0) return;
    try {
      await this.#store.write(operations);
    } catch (error) {
      this.#restore(pair, before);
      throw error;
    }
  }

  /** Delete copies of a pair, except those that were changed after `until`; resolves when they are gone from disk. */
  async drop(
    owner: string,
    generation: number,
    ids: readonly string[],
    until = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const pair = pairName(owner, generation);
    const copies = this.#pairs.get(pair);
    const old = ids.filter((id) => (copies?.get(id)?.touched ?? 0) <= until);
    await this.#store.persist(old.flatMap((id) => this.#removal(pair, id)));
  }

  /** Note that the records of a message were moved elsewhere. */
  forget(owner: string, generation: number, id: string): void {
    this.#forget(pairName(owner, generation), id);
  }

  /** The pairs of which a copy of this message is held. */
  pairsOf(id: string): { owner: string; generation: number; complete: boolean }[] {
    return this.pairs().flatMap(({ owner, generation }) => {
      const held = this.#pairs.get(pairName(owner, generation))?.get(id);
      return held === undefined ? [] : [{ owner, generation, complete: held.complete }];
    });
  }

  /** The records of one copy, with the keys that they had in their owner's queue. */
  async *records(owner: string, generation: number, id: string): AsyncGenerator<[string, Buffer]> {
    const prefix = `copy!${pairName(owner, generation)}!${id}`;
    for await (const [key, value] of this.#store.entries(rangeOf(prefix))) yield [key.slice(prefix.length + 1), value];
  }

  #note(pair: string, id: string, key: string, complete = key.startsWith('message!')): void {
    let copies = this.#pairs.get(pair);
    if (copies === undefined) {
      copies = new Map();
      this.#pairs.set(pair, copies);
    }
    let held = copies.get(id);
    if (held === undefined) {
      held = { pieces: 0, recipients: 0, complete: false, touched: 0 };
      copies.set(id, held);
    }
    held.touched = this.#now;
    held.complete ||= complete;
    const [, kind, , number] = NUMBERED.exec(key) ?? [];
    if (kind === 'body') held.pieces = Math.max(held.pieces, Number(number) + 1);
    else if (kind === 'recipient') held.recipients = Math.max(held.recipients, Number(number) + 1);
  }

  #copyOf(pair: string, changes: readonly CopyChange[]): Map<string, Held | undefined> {
    const copies = this.#pairs.get(pair);
    return new Map(
      changes.map(({ id }) => {
        const held = copies?.get(id);
        return [id, held && { ...held }];
      }),
    );
  }

  /** A write failed: how much of it is on disk is unknown. */
  #restore(pair: string, before: ReadonlyMap<string, Held | undefined>): void {
    let copies = this.#pairs.get(pair);
    for (const [id, held] of before) {
      const now = copies?.get(id);
      if (held === undefined && now === undefined) continue;
      if (copies === undefined) {
        copies = new Map();
        this.#pairs.set(pair, copies);
      }
      copies.set(id, {
        pieces: Math.max(held?.pieces ?? 0, now?.pieces ?? 0),
        recipients: Math.max(held?.recipients ?? 0, now?.recipients ?? 0),
        complete: held?.complete ?? false,
        touched: this.#now,
      });
    }
  }

  #removal(pair: string, id: string): StoreOperation[] {
    const held = this.#pairs.get(pair)?.get(id);
    if (held === undefined) return [];
    const operations: StoreOperation[] = [];
    const del = (key: string): number => operations.push({ type: 'del', key: keys.copy(pair, id, key) });
    del(keys.message(id));
    for (let n = 0; n < held.recipients; n++) del(keys.recipient(id, n));
    for (let n = 0; n < held.pieces; n++) del(keys.body(id, n));
    this.#forget(pair, id);
    return operations;
  }

  #keptReceipt({ id, receipt }: Extract<CopyChange, { drop: unknown }>, node: string): StoreOperation[] {
    return receipt === undefined ? [] : keepReceipt(this.#index, id, receipt, node);
  }

  #forget(pair: string, id: string): void {
    const copies = this.#pairs.get(pair);
    copies?.delete(id);
    if (copies?.size === 0) this.#pairs.delete(pair);
  }
}

/** What this node can say of a message of another node of which it has the second copy. */
export type HeldCopy = {
  /** The node whose mail it is; its store, where the name of the node is not known. */
  owner: string;
  /** All of it was on this disk when the owner accepted the mail. */
  complete: boolean;
  /** The owner has said that it needs the copy no longer, or has given this pair up. */
  void: boolean;
  /** This node has claimed the mail and moves it into its queue. */
  claimed: boolean;
  /** ms since 1970: when it is taken over, unless the owner renews its lease; absent while that cannot be told. */
  takeOver?: number | undefined;
};

type Deps = { held: HeldCopies; watch: LeaseWatch; map: ReplicatedMap<ClaimRecord>; name: string };

/** The copy of a message that is held, the newest where there are several. */
export function heldCopyOf(id: string, { held, watch, map, name }: Deps): HeldCopy | undefined {
  const found = held.pairsOf(id).toSorted((a, b) => b.generation - a.generation)[0];
  if (found === undefined) return undefined;
  const { owner, generation, complete } = found;
  const pair = asPair(map.get(pairKey(owner, name))?.value);
  const isVoid = pair !== undefined && pair.generation > generation;
  const claimed = !isVoid && pair?.state === 'claimed';
  const left = isVoid || claimed || !complete ? undefined : watch.remaining(owner);
  return {
    owner: watch.lease(owner)?.node ?? owner,
    ...{ complete, void: isVoid, claimed },
    ...(left !== undefined && { takeOver: Math.round(Date.now() + left) }),
  };
}

const pairName = (owner: string, generation: number): string => `${owner}.${generation}`;

/** The keys of a change, all of which must be of records of that message. */
function checkedKeys({ id, put }: Extract<CopyChange, { put: unknown }>): string[] {
  return put.map(({ key }) => {
    if (key !== keys.message(id) && NUMBERED.exec(key)?.[2] !== id)
      throw malformed(`${key} is not a record of message ${id}`);
    return key;
  });
}

function malformed(text: string): SealpostError {
  return new SealpostError(CALL_ERRORS.malformed, text);
}
