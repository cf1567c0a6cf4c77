import { randomBytes } from 'node:crypto';
import type { StoreOperation } from '#cluster/store.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import type { EnvelopeRecipient, RecipientStatus } from '#shared/mail/envelope.ts';
import { keys, type MessageRecord, putJson, type RecipientRecord } from './records.ts';

/** A message of the queue in memory, while delivery works on it. The disk has the same, or is about to. */
export type Message = {
  readonly id: string;
  readonly record: MessageRecord;
  readonly recipients: Recipient[];
  /** The stored bytes, where there was room to keep them in memory. */
  body: Buffer | undefined;
  /** Attempts under way. */
  busy: number;
  /** It has left the queue: what an attempt still reports changes nothing. */
  gone: boolean;
};

/** `busy`: an attempt for this recipient is under way; `parked`: it is due, and its next hop backs off (queue/parking.ts). */
export type Recipient = RecipientRecord & { busy: boolean; parked?: boolean };

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
  const { recipient, status, nextHop, signatures, redirected, others, earlier, junkToRefused, dead } = r;
  return { recipient, status, nextHop, signatures, redirected, others, earlier, junkToRefused, dead };
}

/** The operations that write a new message, apart from its body. */
export function messageRecords({ id, record, recipients }: Message): StoreOperation[] {
  return [
    putJson(keys.message(id), record),
    ...recipients.map((r, n) => putJson(keys.recipient(id, n), recipientRecord(r))),
  ];
}

/** The operation that writes what became of a recipient of the message. */
export function putRecipient({ id, recipients }: Message, recipient: Recipient): StoreOperation {
  return putJson(keys.recipient(id, recipients.indexOf(recipient)), recipientRecord(recipient));
}

/** The operations that delete a message; `copied`: the place of its second copy is on disk too. */
export function removalOf({ id, record, recipients }: Message, copied: boolean): StoreOperation[] {
  const all = [
    keys.message(id),
    ...(copied ? [keys.place(id)] : []),
    ...recipients.map((_, n) => keys.recipient(id, n)),
    ...record.chunks.map((_, n) => keys.body(id, n)),
  ];
  return all.map((key) => ({ type: 'del', key }));
}

/** Whether the message goes to a recipient as junk. */
export function isJunk({ record }: Pick<Message, 'record'>, { neverJunk }: EnvelopeRecipient): boolean {
  return record.junk && neverJunk !== true;
}

export function isFinal(status: RecipientStatus): boolean {
  return status.state !== 'waiting' && status.state !== 'deferred';
}

/** When a recipient is due: ms since 1970, 0 for immediately, Infinity when it has a final status. */
export function dueAt(status: RecipientStatus): number {
  if (status.state === 'waiting') return 0;
  return status.state === 'deferred' ? status.nextAttempt : Number.POSITIVE_INFINITY;
}

/** Whether an operator has asked that a message be tried now, and a recipient was not tried since. */
export function isAsked({ retry }: MessageRecord, status: RecipientStatus): boolean {
  return retry !== undefined && status.state === 'deferred' && status.outcome.at <= retry;
}

/**
 * The key of the next hop that put off all that is left of a message; '' where there is none. The copy for an archive has a
 * time of its own, and what a mailbox for junk refused goes elsewhere.
 */
export function soleHop(recipients: readonly RecipientRecord[]): string {
  let sole = '';
  for (const { recipient, status, nextHop = '', junkToRefused } of recipients) {
    if (isFinal(status)) continue;
    const isOther = sole !== '' && nextHop !== sole;
    if (status.state !== 'deferred' || isOther || junkToRefused === true || recipient.journal !== undefined) return '';
    sole = nextHop;
    if (sole === '') return '';
  }
  return sole;
}

export function isFinished(message: Message): boolean {
  return message.recipients.every((r) => isFinal(r.status));
}

/**
 * Whose mail a message is where mail takes turns: that of the user who logged in, else of the reverse-path, else of the host
 * that it came from. A notice of ours is mail of the one who reads it, so that each passes mail in bulk.
 *
 * It is a number, which a slot of the queue has room for. It is another one after each start, so nobody can choose a
 * reverse-path that shares its turns with another sender's.
 */
export function senderOf({ origin, reversePath }: Pick<MessageRecord, 'origin' | 'reversePath'>, to: string): number {
  if (origin.user !== undefined) return hash(`user ${origin.user}`);
  if (reversePath !== '') return hash(withoutReference(reversePath));
  return hash(origin.kind === 'internal' ? to : `host ${origin.client.address}`);
}

/** Bulk mail has another address in each message (`news+4711-bob=example.com@…`): up to the first sign it is the same. */
function withoutReference(address: string): string {
  const local = localPartOf(address);
  const end = local.search(/[+=]/);
  return end < 1 ? address : `${local.slice(0, end)}@${domainOf(address)}`;
}

const SEED = randomBytes(4).readInt32LE();

/** FNV-1a in 30 bits: an integer that needs no memory of its own. */
function hash(text: string): number {
  let value = SEED;
  for (let n = 0; n < text.length; n++) value = Math.imul(value ^ text.charCodeAt(n), 16_777_619);
  return value >>> 2;
}
