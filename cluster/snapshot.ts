import { type Database, isDamage } from './level.ts';

export type Range = { gt?: string; gte?: string; lt?: string; lte?: string; limit?: number; reverse?: boolean };

/** What is read together: at most so many, and so many bytes but for the last one. */
type Size = { first: number; most: number; highWaterMarkBytes: number };
const PAGES: Size = { first: 500, most: 500, highWaterMarkBytes: 256 * 1024 };
/** For those who take them one by one, and often but the first. */
export const SINGLES: Size = { first: 1, most: 1000, highWaterMarkBytes: 16 * 1024 };

type Entry = [string, Buffer];
type Reader<T> = { nextv(size: number): Promise<T[]>; close(): Promise<void> };
type Source<T> = { open(range: Range): Reader<T>; keyOf(item: T): string; size: Size };

/** A store as it was at one moment, whatever is written later. A store that closes, or fails, closes it. */
export class Snapshot {
  readonly #db: Database;
  readonly #snapshot: ReturnType<Database['snapshot']>;
  readonly #problem: (range: Range, error: unknown) => Error;

  /** `problem`: the error to reject with where a range cannot be read. */
  constructor(db: Database, problem: (range: Range, error: unknown) => Error) {
    this.#db = db;
    this.#problem = problem;
    this.#snapshot = db.snapshot();
  }

  /** Entries of a range in the order of their keys, many at a time. Rejects as `Store.entries` does. */
  pages(range: Range, size = PAGES): AsyncGenerator<Entry[]> {
    const open = (part: Range): Reader<Entry> => this.#db.iterator(this.#options(part, size));
    return this.#read({ open, keyOf: ([key]) => key, size }, range);
  }

  /** Keys alone. */
  keyPages(range: Range, size = PAGES): AsyncGenerator<string[]> {
    const open = (part: Range): Reader<string> => this.#db.keys(this.#options(part, size));
    return this.#read({ open, keyOf: (key) => key, size }, range);
  }

  close(): Promise<void> {
    return this.#snapshot.close();
  }

  /** That Node reads many bytes at a time is not in the types of `level`, which are for browsers too. */
  #options(range: Range, { highWaterMarkBytes }: Size) {
    return { ...range, snapshot: this.#snapshot, highWaterMarkBytes };
  }

  async *#read<T>(source: Source<T>, range: Range): AsyncGenerator<T[]> {
    const { open, keyOf, size } = source;
    const reader = open(range);
    let count = 0;
    let last: T | undefined;
    try {
      for (let page = await reader.nextv(size.first); page.length > 0; page = await reader.nextv(size.most)) {
        yield page;
        count += page.length;
        last = page.at(-1);
      }
    } catch (error) {
      // LevelDB says at the end of a range that a part of it is damaged, and keeps the last page for itself then.
      if (isDamage(error)) yield* this.#oneByOne(open, last === undefined ? range : restOf(range, keyOf(last), count));
      throw this.#problem(range, error);
    } finally {
      await reader.close();
    }
  }

  /** Up to the error of the end, which is known. */
  async *#oneByOne<T>(open: Source<T>['open'], range: Range): AsyncGenerator<T[]> {
    const reader = open(range);
    try {
      for (let page = await reader.nextv(1); page.length > 0; page = await reader.nextv(1)) yield page;
    } catch (error) {
      if (!isDamage(error)) throw this.#problem(range, error);
    } finally {
      await reader.close();
    }
  }
}

/** What follows the first `count` of a range, `last` being the last one of them. LevelDB prefers `gte` to `gt`. */
function restOf({ gt, gte, lt, lte, limit, reverse }: Range, last: string, count: number): Range {
  return {
    ...(reverse === true
      ? { ...(gt !== undefined && { gt }), ...(gte !== undefined && { gte }), lt: last, reverse }
      : { gt: last, ...(lt !== undefined && { lt }), ...(lte !== undefined && { lte }) }),
    ...(limit !== undefined && { limit: limit - count }),
  };
}
