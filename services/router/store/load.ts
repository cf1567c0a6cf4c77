import type { Store } from '#cluster/store.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { loadedMessage, type Message } from './message.ts';
import { keys, MessageRecord, parseRecord, RecipientRecord } from './records.ts';

/**
 * Read a message and its recipients. Rejects with `corrupt` when a record is missing or damaged, with `store-failed`
 * when the store cannot be read right now.
 */
export async function loadMessage(store: Store, id: string): Promise<Message> {
  const key = keys.message(id);
  try {
    const record = parseRecord(MessageRecord, key, await store.get(key));
    const recipientKeys = Array.from({ length: record.recipients }, (_, n) => keys.recipient(id, n));
    const values = await store.getMany(recipientKeys);
    return loadedMessage(
      id,
      record,
      recipientKeys.map((k, n) => parseRecord(RecipientRecord, k, values[n])),
    );
  } catch (error) {
    if (errorCode(error) !== 'store-damaged') throw error;
    throw new SealpostError('corrupt', `the records of ${id} cannot be read`, { cause: error });
  }
}
