import type { Store } from '#cluster/store.ts';
import { queueIdFloor } from '#shared/ids.ts';

/** Ranges of queue ids, and the ids of messages and receipts in one. */

/** Ids from `from` on that are less than `below`; either may be the start of one. */
export type IdRange = { from: string; below: string };
/** `rest`: the `below` of what follows these ids. */
export type Ids = { ids: string[]; rest: string };

/** Greater than every queue id. */
export const HIGHEST = '~';
const RECEIPTS = ['receipt', 'receipt-copy'];
const KINDS = ['message', ...RECEIPTS];
/** Ids that are read together. */
const TOGETHER = 100;

/** Times are ms since 1970; `below`: the `rest` of an earlier reading. */
export function idRange(since: number | undefined, until: number | undefined, below = HIGHEST): IdRange {
  const end = until === undefined ? HIGHEST : queueIdFloor(until);
  return { from: since === undefined ? '' : queueIdFloor(since), below: below < end ? below : end };
}

/** What all of two ranges have in common; its `below` is not greater than its `from` where that is nothing. */
export function overlap(a: IdRange, b: IdRange): IdRange {
  return { from: a.from > b.from ? a.from : b.from, below: a.below < b.below ? a.below : b.below };
}

export function isIn(id: string, { from, below }: IdRange): boolean {
  return id >= from && id < below;
}

/** The `from` of what is greater than an id. */
export function after(id: string): string {
  return `${id}0`;
}

/** All ids of messages and receipts, newest first. */
export function allIds(store: Store, range: IdRange): AsyncGenerator<Ids> {
  return idsOf(store, range, KINDS);
}

/** Those of receipts alone. */
export function receiptIds(store: Store, range: IdRange): AsyncGenerator<Ids> {
  return idsOf(store, range, RECEIPTS);
}

async function* idsOf(store: Store, { from, below }: IdRange, kinds: readonly string[]): AsyncGenerator<Ids> {
  for (let rest = below; ; ) {
    const ids = await someIds(store, { from, below: rest }, true, kinds);
    const last = ids.at(-1);
    if (last === undefined) return;
    yield { ids, rest: last };
    rest = last;
  }
}

/** The same, oldest first. */
export async function* allIdsUp(store: Store, { from, below }: IdRange): AsyncGenerator<string[]> {
  for (let next = from; ; ) {
    const ids = await someIds(store, { from: next, below }, false);
    const last = ids.at(-1);
    if (last === undefined) return;
    yield ids;
    next = after(last);
  }
}

/** Whether there is a message or a receipt. */
export async function hasIds(store: Store, { from, below }: IdRange): Promise<boolean> {
  for (const kind of KINDS)
    for await (const _ of store.keys({ gte: `${kind}!${from}`, lt: `${kind}!${below}`, limit: 1 })) return true;
  return false;
}

/** The last id of all; undefined where there is none. */
export async function lastId(store: Store): Promise<string | undefined> {
  return (await someIds(store, { from: '', below: HIGHEST }, true))[0];
}

async function someIds(
  store: Store,
  { from, below }: IdRange,
  reverse: boolean,
  kinds: readonly string[] = KINDS,
): Promise<string[]> {
  const ids = new Set<string>();
  for (const kind of kinds) {
    const range = { gte: `${kind}!${from}`, lt: `${kind}!${below}`, reverse, limit: TOGETHER };
    for await (const key of store.keys(range)) ids.add(key.slice(kind.length + 1));
  }
  // Each kind gave its first ones: of all together only so many are certain to leave none out between them.
  return [...ids].sort(reverse ? newestFirst : undefined).slice(0, TOGETHER);
}

export function newestFirst(a: string, b: string): number {
  return a < b ? 1 : -1;
}
