import { type Database, isDamage } from './level.ts';

export type Range = { gt?: string; gte?: string; lt?: string; lte?: string; limit?: number; reverse?: boolean };

/** What is read together: at most so many entries, and so many bytes but for the last one. */
const PAGE_ENTRIES = 500;
const PAGE_BYTES = 256 * 1024;

type Entry = [string, Buffer];

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
  async *pages(range: Range): AsyncGenerator<Entry[]> {
    let last: string | undefined;
    try {
      for await (const page of this.#read(range, PAGE_ENTRIES)) {
        yield page;
        last = page.at(-1)?.[0];
      }
    } catch (error) {
      // LevelDB says at the end of a range that a part of it is damaged, and keeps the last page for itself then.
      if (isDamage(error)) yield* this.#rest(last === undefined ? range : { ...range, gt: last });
      throw this.#problem(range, error);
    }
  }

  close(): Promise<void> {
    return this.#snapshot.close();
  }

  /** One by one, up to the damage, where that comes behind. */
  async *#rest(range: Range): AsyncGenerator<Entry[]> {
    try {
      yield* this.#read(range, 1);
    } catch (error) {
      if (!isDamage(error)) throw this.#problem(range, error);
    }
  }

  async *#read(range: Range, entries: number): AsyncGenerator<Entry[]> {
    // That Node reads many bytes at a time is not in the types of `level`, which are for browsers too.
    const options = { ...range, snapshot: this.#snapshot, highWaterMarkBytes: PAGE_BYTES };
    const iterator = this.#db.iterator(options);
    try {
      for (let page = await iterator.nextv(entries); page.length > 0; page = await iterator.nextv(entries)) yield page;
    } finally {
      await iterator.close();
    }
  }
}
