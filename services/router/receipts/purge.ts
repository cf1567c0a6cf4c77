import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { keys, queueIdOf, type Receipt, rangeOf } from '../store/records.ts';
import { unseal } from '../store/seal.ts';
import type { Slots } from '../store/slots.ts';
import { bucketOf, entriesOf, idOfEntry } from './terms.ts';

/**
 * Deletes receipts, those of other nodes too, with the entries by which they were found: in one batch, so that neither
 * stays without the other. Entries that lead nowhere are deleted as well, in the buckets that are as old: their message
 * left no receipt, or the receipt is damaged, or a version that knew no entries deleted it.
 */

const BATCH = 500;

export type PurgeDeps = { store: Store; slots: Slots };

/** Delete the receipts whose mail left the queue at `end` (ms since 1970) or before. Resolves to how many there were. */
export async function purgeReceipts(deps: PurgeDeps, end: number, isStopped: () => boolean): Promise<number> {
  let count = 0;
  for (const kind of ['receipt', 'receipt-copy']) count += await purgeKind(deps, { kind, end, isStopped });
  await purgeEntries(deps, end, isStopped);
  return count;
}

async function purgeKind(
  { store }: PurgeDeps,
  { kind, end, isStopped }: { kind: string; end: number; isStopped: () => boolean },
): Promise<number> {
  let count = 0;
  let operations: StoreOperation[] = [];
  const flush = async (): Promise<void> => {
    if (operations.length > 0) await store.write(operations);
    operations = [];
    await nextTurn();
  };
  // The queue id says when the mail arrived; the receipt says when it left.
  const range = { ...rangeOf(kind), lt: `${kind}!${queueIdFloor(end)}` };
  for await (const [key, value] of store.entries(range)) {
    if (isStopped()) break;
    const receipt = readReceipt(key, value);
    // A damaged receipt is of no use and may go.
    if (receipt !== undefined && receipt.finished > end) continue;
    operations.push({ type: 'del', key }, ...entriesToDelete(queueIdOf(key), receipt));
    count++;
    if (operations.length >= BATCH) await flush();
  }
  await flush();
  return count;
}

function readReceipt(key: string, value: Buffer): Receipt | undefined {
  try {
    return JSON.parse(unseal(key, value).toString()) as Receipt;
  } catch {
    return undefined;
  }
}

function entriesToDelete(id: string, receipt: Receipt | undefined): StoreOperation[] {
  return receipt?.recipients === undefined ? [] : entriesOf('del', id, receipt);
}

const KINDS = 3;
const keysOf = (id: string): string[] => [keys.message(id), keys.receipt(id), keys.receiptCopy(id)];

/** Delete the entries of old buckets that lead to no message and to no receipt. */
async function purgeEntries({ store, slots }: PurgeDeps, end: number, isStopped: () => boolean): Promise<void> {
  const range = { gte: rangeOf('find').gte, lt: `find!${bucketOf(queueIdFloor(end))}!` };
  let batch: string[] = [];
  const flush = async (): Promise<void> => {
    const ids = [...new Set(batch.map(idOfEntry))].filter((id) => slots.get(id) === undefined);
    const found = await store.getMany(ids.flatMap(keysOf));
    const gone = new Set(
      ids.filter((_, n) => found.slice(n * KINDS, (n + 1) * KINDS).every((one) => one === undefined)),
    );
    const operations = batch.filter((key) => gone.has(idOfEntry(key))).map((key) => ({ type: 'del' as const, key }));
    if (operations.length > 0) await store.write(operations);
    batch = [];
    await nextTurn();
  };
  for await (const key of store.keys(range)) {
    if (isStopped()) return;
    if (batch.push(key) >= BATCH) await flush();
  }
  await flush();
}
