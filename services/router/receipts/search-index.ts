import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { Message } from '../store/message.ts';
import { keys, putBytes } from '../store/records.ts';
import { after, allIds, allIdsUp, HIGHEST, type IdRange, type Ids, isIn, lastId, newestFirst, overlap } from './ids.ts';
import { type Entry, hashOf, MOST_ENTRIES, UNKNOWN } from './index-block.ts';
import { type Block, IndexBlocks } from './index-blocks.ts';
import type { Condition } from './query.ts';
import { searchableOf } from './receipt.ts';
import type { Searchable } from './terms.ts';
import { entryOf, readEntries } from './unindexed.ts';

/**
 * The index by which messages and receipts are found. The newest thousands of messages are in memory. When there are enough
 * of them, the older half becomes one record:
 *
 *   index!<below>!<from>        a block: the terms of what has an id from `from` on and less than `below` (index-block.ts)
 *   index!<below>!<from>!<n>    a block of messages that came late: it does not have all of this range
 *   unindexed!<queueId>         a message that came late, and is in no block yet
 *
 * Each block begins where the one before ends. A message after the end of the newest block has nothing on disk for the
 * index: a start reads what messages and receipts there are from that end on. So nothing is written when the router stops, and
 * a crash loses nothing.
 *
 * A message is late when its id is before that end: it was in transfer for long, it was taken over from another node, or its
 * receipt comes from one. Then the batch that writes it has `unindexed!` as well, by which a start finds it. When there
 * are enough of the late ones, they become a block, and the same batch deletes what marked them.
 *
 * The end moves when a block is handed to the store, so that what comes meanwhile is late already. What is in the block stays
 * in memory until that is on disk, and a search looks there first: so it finds all in one or the other. A block may have
 * messages that never reach the disk, or are gone: what is found is read for the answer anyway.
 *
 * A search reads one by one, without the index, what no block has that can be read: what a start has not come to yet, the
 * range of a damaged block, and one between blocks, where a block was lost, or deleted because nothing is left there.
 */

/** Terms of a block: those of about 2000 messages. */
export const BLOCK_TERMS = 16 * 1024;
const AGAIN_MS = 1000;
/** Messages that are read together. */
const TOGETHER = 100;

export class SearchIndex {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #blocks: IndexBlocks;
  readonly #recent = new Entries();
  readonly #late = new Entries();
  /** Where the blocks end, with the one that is being written. */
  #end = '';
  /** What is before this is in a block or in memory. */
  #known = HIGHEST;
  #writing = false;
  #reading: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  private constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
    this.#blocks = new IndexBlocks(store, log);
  }

  /** Nothing else writes messages to the store yet. What is in no block is read in the background. Rejects with `store-failed`. */
  static async open({ store, log }: { store: Store; log: Logger }): Promise<SearchIndex> {
    const index = new SearchIndex(store, log);
    const late = await index.#blocks.load();
    const { end } = index.#blocks;
    const last = await lastId(store).catch((error: unknown) => {
      if (errorCode(error) !== 'store-damaged') throw error;
      return newQueueId();
    });
    [index.#end, index.#known] = [end, end];
    index.#reading = index.#read(late, after(last ?? ''));
    return index;
  }

  /** Resolves when the index has what was there at the start. */
  get read(): Promise<void> {
    return this.#reading;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#reading;
  }

  /** A message comes: what is answered is part of the batch that writes it, or its receipt. */
  add(id: string, searchable: Searchable): StoreOperation[] {
    const isLate = id < this.#end;
    (isLate ? this.#late : this.#recent).add(entryOf(id, searchable));
    if (this.#known === HIGHEST) this.#flush();
    return isLate ? [putBytes(keys.unindexed(id), Buffer.alloc(0))] : [];
  }

  addMessage(message: Pick<Message, 'id' | 'record' | 'recipients'>): StoreOperation[] {
    return this.add(message.id, searchableOf(message));
  }

  /** Ids in a range, newest first: of messages that meet the conditions, and of others, so that the caller reads each. */
  async *ids(conditions: readonly Condition[], range: IdRange): AsyncGenerator<Ids> {
    const wanted = conditions.map((terms) => [UNKNOWN, ...terms.map(hashOf)]);
    const found = [...this.#recent.find(wanted), ...this.#late.find(wanted)];
    const parts = this.#parts();
    const late = this.#blocks.late(range);
    const unread: IdRange[] = [];
    for (const { block, ...all } of parts) {
      const part = overlap(all, range);
      if (isEmpty(part)) continue;
      for (let other = late.at(-1); other !== undefined && other.below > part.from; other = late.at(-1)) {
        late.pop();
        const ids = await this.#blocks.find(other, wanted);
        if (ids === undefined) unread.push(other);
        else found.push(...ids);
      }
      const isUnread = block === undefined || unread.some((other) => !isEmpty(overlap(part, other)));
      const ids = isUnread ? undefined : block === 'memory' ? [] : await this.#blocks.find(block, wanted);
      if (ids === undefined) yield* allIds(this.#store, part);
      else {
        const here = new Set([...found, ...ids].filter((id) => isIn(id, part)));
        yield { ids: [...here].sort(newestFirst), rest: part.from };
      }
    }
  }

  /** Delete the blocks with nothing newer than `end` (ms since 1970) in which no message and no receipt is left. */
  purge(end: number, isStopped: () => boolean): Promise<void> {
    return this.#blocks.purge(end, isStopped);
  }

  /** All ids, newest first. */
  #parts(): (IdRange & { block: Block | 'memory' | undefined })[] {
    return [
      { from: this.#known, below: HIGHEST, block: undefined },
      { from: this.#blocks.end, below: this.#known, block: 'memory' },
      ...this.#blocks.parts(),
    ];
  }

  /** Read what is in no block: messages that came late, and those after the last block with ids less than `below`. */
  async #read(late: readonly string[], below: string): Promise<void> {
    const { signal } = this.#stopping;
    // Until they are read, every search finds them.
    const unread = late.map((id) => ({ id, terms: [UNKNOWN] }));
    for (const entry of unread) this.#late.add(entry);
    while (!signal.aborted && this.#known !== HIGHEST) {
      try {
        await this.#readLate(unread);
        await this.#readRecent(below);
      } catch (error) {
        if (errorCode(error) === 'store-damaged') this.#skip(below, error);
        else {
          const text = 'messages cannot be read for the index now, it is tried again: searches take longer until then';
          this.#log.warn({ error: errorText(error) }, text);
          await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
        }
      }
    }
    this.#flush();
  }

  async #readLate(unread: Entry[]): Promise<void> {
    while (unread.length > 0 && !this.#stopping.signal.aborted) {
      const some = unread.slice(0, TOGETHER);
      const ids = some.map(({ id }) => id);
      const entries = await readEntries(this.#store, ids);
      this.#late.remove(new Set(some));
      for (const entry of entries) this.#late.add(entry);
      unread.splice(0, some.length);
    }
  }

  async #readRecent(below: string): Promise<void> {
    for await (const ids of allIdsUp(this.#store, { from: this.#known, below })) {
      for (const entry of await readEntries(this.#store, ids)) this.#recent.add(entry);
      this.#known = after(ids.at(-1) ?? '');
      this.#flush();
      await nextTurn();
      if (this.#stopping.signal.aborted) return;
    }
    this.#known = HIGHEST;
  }

  /** What is there cannot be read: it stays without an index. */
  #skip(below: string, error: unknown): void {
    const text = 'some messages or receipts cannot be read: those of their time are searched one by one';
    this.#log.error({ from: this.#end, below, error: errorText(error) }, text);
    this.#blocks.skip(below);
    [this.#end, this.#known] = [below, HIGHEST];
    this.#recent.remove(new Set(this.#recent.all.filter(({ id }) => id < below)));
  }

  /** Write a block of what is in memory, where there is enough of it. */
  #flush(): void {
    if (this.#writing || (this.#recent.terms < 2 * BLOCK_TERMS && this.#late.terms < BLOCK_TERMS)) return;
    this.#writing = true;
    void this.#write();
  }

  /** The older half of what is recent, when that is enough for two blocks. */
  #oldest(): Entry[] {
    const known = this.#recent.all.filter(({ id }) => id < this.#known).sort(byId);
    return forBlock(known, 2 * BLOCK_TERMS);
  }

  async #write(): Promise<void> {
    // What came last is about to be written: `unindexed!` is not deleted before it is there.
    await nextTurn();
    const recent = this.#oldest();
    const late = forBlock(this.#late.all.toSorted(byId), BLOCK_TERMS);
    const operations = [
      ...(recent.length === 0 ? [] : IndexBlocks.operations(recent, this.#end, false)),
      ...(late.length === 0 ? [] : IndexBlocks.operations(late, late[0]?.id ?? '', true)),
    ];
    if (recent.length > 0) this.#end = after(recent.at(-1)?.id ?? '');
    try {
      if (operations.length > 0) await this.#store.persist(operations);
    } catch (error) {
      // The store is closed.
      this.#log.debug(
        { error: errorText(error) },
        'a part of the search index was not written: the next start does it',
      );
      return;
    }
    this.#blocks.written(operations);
    this.#recent.remove(new Set(recent));
    this.#late.remove(new Set(late));
    this.#writing = false;
    if (operations.length > 0) this.#flush();
  }
}

/** Entries in memory. */
class Entries {
  all: Entry[] = [];
  terms = 0;

  add(entry: Entry): void {
    this.all.push(entry);
    this.terms += entry.terms.length;
  }

  remove(gone: ReadonlySet<Entry>): void {
    this.all = this.all.filter((entry) => !gone.has(entry));
    this.terms = this.all.reduce((sum, { terms }) => sum + terms.length, 0);
  }

  /** The ids that have one of the terms of each list. */
  find(wanted: readonly (readonly number[])[]): string[] {
    const meets = ({ terms }: Entry): boolean => wanted.every((hashes) => hashes.some((hash) => terms.includes(hash)));
    return this.all.filter(meets).map(({ id }) => id);
  }
}

/** The first of these, as many as make a block; none where all of them have less than `least` terms. */
function forBlock(entries: readonly Entry[], least: number): Entry[] {
  if (entries.reduce((sum, { terms }) => sum + terms.length, 0) < least) return [];
  let [length, size] = [0, 0];
  while (size < BLOCK_TERMS && length < MOST_ENTRIES) size += entries[length++]?.terms.length ?? 0;
  return entries.slice(0, length);
}

function isEmpty({ from, below }: IdRange): boolean {
  return from >= below;
}

function byId(a: Entry, b: Entry): number {
  return a.id < b.id ? -1 : 1;
}
