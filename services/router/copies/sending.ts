import type { Store, StoreOperation } from '#cluster/store.ts';
import { SealpostError } from '#shared/errors.ts';
import { keys, MessageRecord, parseRecord } from '../store/records.ts';
import type { Outbox, SealedRecord } from './outbox.ts';

/** What of a message goes to the holder of its copy, and in which order: last its own record, which makes it whole. */

/** Pieces of a body that are read and sent together. */
const PIECES = 8;

/** A new message: `earlier` pieces of its body lie on disk, the rest of it is in `operations`. */
export type NewMessage = { id: string; operations: readonly StoreOperation[]; earlier: number };

export async function sendNew(store: Store, outbox: Outbox, { id, operations, earlier }: NewMessage): Promise<void> {
  await sendPieces(store, outbox, id, earlier);
  const records = operations.flatMap((o) => (o.type === 'put' ? [{ key: o.key, value: o.value }] : []));
  const isMessage = ({ key }: SealedRecord): boolean => key === keys.message(id);
  await outbox.copy(id, [...records.filter((r) => !isMessage(r)), ...records.filter(isMessage)], true);
}

/** Send a message as it lies on disk. Rejects with `corrupt` when a record of it is missing or damaged. */
export async function sendStored(store: Store, outbox: Outbox, id: string): Promise<void> {
  const record = parseRecord(MessageRecord, keys.message(id), await store.get(keys.message(id)));
  await sendPieces(store, outbox, id, record.chunks.length);
  const recipients = Array.from({ length: record.recipients }, (_, n) => keys.recipient(id, n));
  await outbox.copy(id, await read(store, [...recipients, keys.message(id)]), true);
}

async function sendPieces(store: Store, outbox: Outbox, id: string, to: number): Promise<void> {
  for (let n = 0; n < to; n += PIECES) {
    const wanted = Array.from({ length: Math.min(PIECES, to - n) }, (_, i) => keys.body(id, n + i));
    await outbox.copy(id, await read(store, wanted), false);
  }
}

async function read(store: Store, wanted: string[]): Promise<SealedRecord[]> {
  const values = await store.getMany(wanted);
  return wanted.map((key, n) => {
    const value = values[n];
    if (value === undefined) throw new SealpostError('corrupt', `${key}: the record is missing`);
    return { key, value };
  });
}
