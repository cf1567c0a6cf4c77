import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { type Receipt, rangeOf } from '../store/records.ts';
import { unseal } from '../store/seal.ts';
import type { SearchIndex } from './search-index.ts';

/** Deletes receipts, those of other nodes too, and what of the index leads nowhere then. */

const BATCH = 500;

export type PurgeDeps = { store: Store; index: SearchIndex };

/** Delete the receipts whose mail left the queue at `end` (ms since 1970) or before. Resolves to how many there were. */
export async function purgeReceipts(deps: PurgeDeps, end: number, isStopped: () => boolean): Promise<number> {
  let count = 0;
  for (const kind of ['receipt', 'receipt-copy']) count += await purgeKind(deps, { kind, end, isStopped });
  await deps.index.purge(end, isStopped);
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
    operations.push({ type: 'del', key });
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
