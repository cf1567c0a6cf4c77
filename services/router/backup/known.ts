import type { Store } from '#cluster/store.ts';
import { keys, rangeOf } from '../store/records.ts';

/**
 * What a router has, or had, of messages that a backup has too. Whatever is known of one forbids to restore it: it waits
 * here, or was delivered or returned, or this node will take it over.
 *
 *   queued     it is in the queue
 *   finished   its receipt is here: this node's own, or that of a node whose second copies this one kept
 *   copy       this node has the second copy of it, and takes it over when its owner falls silent; void ones are never
 *              delivered, but on a closed disk, which does not tell them apart
 *   damaged    it was set aside
 */
export type Known = { id: string; as: 'queued' | 'finished' | 'copy' | 'damaged' };

export type KnownDeps = {
  store: Store;
  isQueued(id: string): boolean;
  isCopy(id: string): boolean;
  isDamaged(id: string): boolean;
};

/** Those that are known, of some ids. Rejects with `store-failed` or `store-damaged`. */
export async function knownOf(ids: readonly string[], deps: KnownDeps): Promise<Known[]> {
  // In the order of its life, so that a message that moves on meanwhile is met: a copy becomes one of the queue, and that a receipt.
  const known = ids.map((id): Known | undefined => {
    if (deps.isCopy(id)) return { id, as: 'copy' };
    if (deps.isQueued(id)) return { id, as: 'queued' };
    return deps.isDamaged(id) ? { id, as: 'damaged' } : undefined;
  });
  const receipts = await deps.store.getMany(ids.flatMap((id) => [keys.receipt(id), keys.receiptCopy(id)]));
  return ids.flatMap((id, n) => {
    const isFinished = receipts[2 * n] !== undefined || receipts[2 * n + 1] !== undefined;
    return known[n] ?? (isFinished ? { id, as: 'finished' as const } : []);
  });
}

/** The ids in the keys of a kind, on a closed disk. */
export async function idsOf(store: Store, kind: 'message' | 'copy' | 'corrupt'): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const key of store.keys(rangeOf(kind))) ids.add(key.split('!')[kind === 'copy' ? 2 : 1] ?? '');
  return ids;
}
