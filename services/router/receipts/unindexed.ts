import type { Store } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import { keys, MessageRecord, parseRecord, type Receipt, RecipientRecord } from '../store/records.ts';
import { unseal } from '../store/seal.ts';
import { type Entry, hashOf, UNKNOWN } from './index-block.ts';
import { searchableOf } from './receipt.ts';
import { type Searchable, termsOf } from './terms.ts';

/** Entries of the index, made from the records of the messages; of one that is gone, without terms. */
export function readEntries(store: Store, ids: readonly string[]): Promise<Entry[]> {
  return Promise.all(ids.map((id) => readEntry(store, id)));
}

export function entryOf(id: string, searchable: Searchable): Entry {
  return { id, terms: Array.from(termsOf(searchable), hashOf) };
}

async function readEntry(store: Store, id: string): Promise<Entry> {
  try {
    const searchable = await readSearchable(store, id);
    return searchable === undefined ? { id, terms: [] } : entryOf(id, searchable);
  } catch (error) {
    if (errorCode(error) === 'store-failed') throw error;
    return { id, terms: [UNKNOWN] };
  }
}

async function readSearchable(store: Store, id: string): Promise<Searchable | undefined> {
  const [queued, own, other] = [keys.message(id), keys.receipt(id), keys.receiptCopy(id)];
  const [message, receipt, copy] = await store.getMany([queued, own, other]);
  if (message !== undefined) {
    const record = parseRecord(MessageRecord, queued, message);
    const recipientKeys = Array.from({ length: record.recipients }, (_, n) => keys.recipient(id, n));
    const values = await store.getMany(recipientKeys);
    return searchableOf({
      record,
      recipients: recipientKeys.map((k, n) => parseRecord(RecipientRecord, k, values[n])),
    });
  }
  if (receipt !== undefined) return JSON.parse(unseal(own, receipt).toString()) as Receipt;
  return copy && (JSON.parse(unseal(other, copy).toString()) as Receipt);
}
