import type { Store } from '#cluster/store.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { rangeOf } from '../store/records.ts';
import type { Wanted } from './query.ts';
import { bucketOf, idOfEntry } from './terms.ts';

/**
 * Queue ids in a range, newest first: by the index, a bucket at a time, or without it. What lies before and after the
 * range is not read.
 */

/** Ids from `from` on that are less than `below`; either may be the start of one. */
export type IdRange = { from: string; below: string };
/** `rest`: the `below` of what follows these ids. */
export type Ids = { ids: string[]; rest: string };

/** Greater than every queue id. */
const HIGHEST = '~';
/** Ids of a bucket that are few. */
const FEW = 20;
/** Ids that are read together without the index. */
const TOGETHER = 100;

/** Times are ms since 1970; `below`: the `rest` of an earlier reading. */
export function idRange(since: number | undefined, until: number | undefined, below = HIGHEST): IdRange {
  const end = until === undefined ? HIGHEST : queueIdFloor(until);
  return { from: since === undefined ? '' : queueIdFloor(since), below: below < end ? below : end };
}

/**
 * Ids that meet at least one condition, and all of them where there are many such ids. A bucket may have none. The caller
 * reads each message: where there are few, that costs less than to look for all mail of a large domain.
 */
export async function* idsByIndex(
  store: Store,
  conditions: readonly (readonly Wanted[])[],
  { from, below }: IdRange,
): AsyncGenerator<Ids> {
  let bucket = await newestBucket(store, `find!${bucketOf(below)}"`);
  while (bucket !== undefined && bucket >= bucketOf(from)) {
    const ids = await idsIn(store, bucket, conditions);
    yield { ids: [...ids].filter((id) => id >= from && id < below).sort(newestFirst), rest: bucket };
    bucket = await newestBucket(store, `find!${bucket}!`);
  }
}

/** All ids of messages and receipts. */
export async function* allIds(store: Store, { from, below }: IdRange): AsyncGenerator<Ids> {
  const kinds = ['message', 'receipt', 'receipt-copy'];
  for (let rest = below; ; ) {
    const ids = new Set<string>();
    for (const kind of kinds) {
      const range = { gte: `${kind}!${from}`, lt: `${kind}!${rest}`, reverse: true, limit: TOGETHER };
      for await (const key of store.keys(range)) ids.add(key.slice(kind.length + 1));
    }
    // Each kind gave its newest: of all together only so many are certain to leave none out between them.
    const newest = [...ids].sort(newestFirst).slice(0, TOGETHER);
    const last = newest.at(-1);
    if (last === undefined) return;
    yield { ids: newest, rest: last };
    rest = last;
  }
}

/** The newest bucket that has an entry before this key. */
async function newestBucket(store: Store, lt: string): Promise<string | undefined> {
  const { gte } = rangeOf('find');
  for await (const key of store.keys({ gte, lt, reverse: true, limit: 1 })) return bucketOf(key.slice(gte.length));
  return undefined;
}

async function idsIn(
  store: Store,
  bucket: string,
  conditions: readonly (readonly Wanted[])[],
): Promise<ReadonlySet<string>> {
  let all: Set<string> | undefined;
  const isNarrow = (condition: readonly Wanted[]): boolean => condition.every(({ whole }) => whole);
  for (const condition of conditions.toSorted((a, b) => Number(isNarrow(b)) - Number(isNarrow(a)))) {
    const ids = new Set<string>();
    for (const wanted of condition) for await (const id of idsOf(store, bucket, wanted)) ids.add(id);
    all = all === undefined ? ids : all.intersection(ids);
    if (all.size <= FEW) break;
  }
  return all ?? new Set();
}

async function* idsOf(store: Store, bucket: string, { start, whole }: Wanted): AsyncGenerator<string> {
  const prefix = `find!${bucket}!${start}`;
  // Another term may begin with this one and "!".
  const range = whole ? rangeOf(prefix) : { gte: prefix, lt: `${prefix}\uffff` };
  for await (const key of store.keys(range)) {
    const id = idOfEntry(key);
    if (!whole || key.length === prefix.length + 1 + id.length) yield id;
  }
}

function newestFirst(a: string, b: string): number {
  return a < b ? 1 : -1;
}
