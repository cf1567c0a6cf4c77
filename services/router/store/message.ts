import type { StoreOperation } from '#cluster/store.ts';
import type { RecipientStatus } from '#shared/envelope.ts';
import { keys, type MessageRecord, putJson, type RecipientRecord } from './records.ts';

/** A message of the queue as it is in memory while delivery works on it. The disk has the same, or is about to. */
export type Message = {
  readonly id: string;
  readonly record: MessageRecord;
  readonly recipients: Recipient[];
  /** The stored bytes, where there was room to keep them in memory. */
  body: Buffer | undefined;
  /** Attempts under way. */
  busy: number;
  /** It has left the queue: whatever still comes back from an attempt changes nothing. */
  gone: boolean;
};

/** `busy`: an attempt for this recipient is under way. */
export type Recipient = RecipientRecord & { busy: boolean };

export function loadedMessage(
  id: string,
  record: MessageRecord,
  recipients: RecipientRecord[],
  body?: Buffer,
): Message {
  return { id, record, recipients: recipients.map((r) => ({ ...r, busy: false })), body, busy: 0, gone: false };
}

/** The recipient without what only memory knows. */
export function recipientRecord(r: Recipient): RecipientRecord {
  return { recipient: r.recipient, status: r.status, nextHop: r.nextHop, signatures: r.signatures };
}

/** What a new message comes to on disk, beside its body. */
export function messageRecords({ id, record, recipients }: Message): StoreOperation[] {
  return [
    putJson(keys.message(id), record),
    ...recipients.map((r, n) => putJson(keys.recipient(id, n), recipientRecord(r))),
  ];
}

export function isFinal(status: RecipientStatus): boolean {
  return status.state !== 'waiting' && status.state !== 'deferred';
}

/** When a recipient is due: a time, 0 for at once, Infinity when it has a final status. */
export function dueAt(status: RecipientStatus): number {
  if (status.state === 'waiting') return 0;
  return status.state === 'deferred' ? status.nextAttempt : Number.POSITIVE_INFINITY;
}

export function isFinished(message: Message): boolean {
  return message.recipients.every((r) => isFinal(r.status));
}
