import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { newQueueId, queueIdFloor } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { keys, putBytes, queueIdOf, rangeOf } from '../store/records.ts';
import { unseal } from '../store/seal.ts';
import { after, HIGHEST, hasIds, type IdRange } from './ids.ts';
import { type Entry, encodeBlock, idsInBlock } from './index-block.ts';

/** The blocks of the index that are on disk (search-index.ts). Memory has their ranges. */

/** `damaged`: it cannot be read. */
export type Block = IdRange & { key: string; damaged?: boolean };

/** A part of a range of ids, and the block that has what came in time; undefined: none has. */
export type Part = IdRange & { block: Block | undefined };

export class IndexBlocks {
  readonly #store: Store;
  readonly #log: Logger;
  /** In the order of their ends. */
  #blocks: Block[] = [];
  #late: Block[] = [];
  #end = '';

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Where the newest block ended, be it still there or not. */
  get end(): string {
    return this.#end;
  }

  /** Find the blocks. Resolves to the messages that came late and are in none. */
  async load(): Promise<string[]> {
    const unindexed: string[] = [];
    try {
      for await (const key of this.#store.keys(rangeOf('index'))) this.#add(key);
      for await (const key of this.#store.keys(rangeOf('unindexed'))) unindexed.push(queueIdOf(key));
      return unindexed;
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      const text =
        'the index of messages and receipts cannot be read: it is made anew, and searches take longer until then';
      this.#log.error({ error: errorText(error) }, text);
      [this.#blocks, this.#late, this.#end] = [[], [], ''];
      return [];
    }
  }

  /** What writes these entries as a block that begins at `from`, in the order of their ids. `late`: see search-index.ts. */
  static operations(entries: readonly Entry[], from: string, late: boolean): StoreOperation[] {
    const key = keys.index(after(entries.at(-1)?.id ?? ''), from, late ? newQueueId() : undefined);
    const marks = late ? entries.map(({ id }) => ({ type: 'del' as const, key: keys.unindexed(id) })) : [];
    return [putBytes(key, encodeBlock(entries)), ...marks];
  }

  /** These operations have been written. */
  written(operations: readonly StoreOperation[]): void {
    for (const { type, key } of operations) if (type === 'put') this.#add(key);
  }

  /** The next block begins there: what is before it is in none. */
  skip(to: string): void {
    this.#end = to;
  }

  /** What there is before the end, newest first. */
  parts(): Part[] {
    const parts: Part[] = [];
    let below = this.#end;
    for (const block of this.#blocks.toReversed()) {
      if (block.below < below) parts.push({ from: block.below, below, block: undefined });
      parts.push({ ...block, block });
      below = block.from;
    }
    return [...parts, { from: '', below, block: undefined }];
  }

  /** The blocks that have some of the ids in a range beside those of the parts, in the order of their ends. */
  late({ from, below }: IdRange): Block[] {
    const late = this.#late.filter((block) => block.from < below && block.below > from);
    return late.sort((a, b) => (a.below < b.below ? -1 : 1));
  }

  /** The ids in a block that have one of the terms of each list; undefined: it cannot be read, or is gone. */
  async find(block: Block, wanted: readonly (readonly number[])[]): Promise<string[] | undefined> {
    if (block.damaged === true) return undefined;
    const { key, from, below } = block;
    try {
      const sealed = await this.#store.get(key);
      return sealed && idsInBlock(unseal(key, sealed), wanted);
    } catch (error) {
      if (errorCode(error) === 'store-failed') throw error;
      block.damaged = true;
      const text = 'a record of the search index is damaged: messages and receipts of its time are searched one by one';
      this.#log.error({ key, from, below, error: errorText(error) }, text);
      return undefined;
    }
  }

  /** Delete the blocks of which the ids are from `end` (ms since 1970) or before, and nothing is left. */
  async purge(end: number, isStopped: () => boolean): Promise<void> {
    const floor = queueIdFloor(end);
    for (const block of [...this.#blocks, ...this.#late].filter(({ below }) => below <= floor)) {
      if (isStopped()) return;
      if (await hasIds(this.#store, block)) continue;
      await this.#store.write([{ type: 'del', key: block.key }]);
      this.#blocks = this.#blocks.filter((other) => other !== block);
      this.#late = this.#late.filter((other) => other !== block);
    }
  }

  #add(key: string): void {
    const [, below = HIGHEST, from = '', late] = key.split('!');
    const block = { key, from, below };
    // Where LevelDB could not read all of them once, there are two for the same ids: either may have what the other has not.
    if (late !== undefined || from < this.#end) this.#late.push(block);
    else {
      this.#blocks.push(block);
      this.#end = below;
    }
  }
}
