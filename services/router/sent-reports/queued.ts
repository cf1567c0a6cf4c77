import type { StoreOperation } from '#cluster/store.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { newId, newQueueId } from '#shared/ids.ts';
import { messageIdOf } from '#shared/mail/header.ts';
import { CHUNK_BYTES } from '../contract.ts';
import { loadedMessage, type Message, messageRecords } from '../store/message.ts';
import { keys, type MessageRecord, putBytes } from '../store/records.ts';

/** A message of the queue, and what writes it. */
export type Queued = { message: Message; operations: StoreOperation[]; bytes: Buffer };

/** `header` ends with the empty line. */
type Mail = {
  header: string;
  body: Buffer;
  to: readonly string[];
  now: number;
  hostname: string;
  isTlsReport?: boolean;
};

/**
 * A message of the queue that carries a report to these addresses, 7-bit. Its reverse-path is the null one, and no notice is
 * asked for: what becomes of a report causes no other mail.
 */
export function queued({ header: text, body, to, now, hostname, isTlsReport = false }: Mail): Queued {
  const header = Buffer.from(text);
  const bytes = Buffer.concat([header, body]);
  const hash = new RelaxedBodyHash();
  hash.update(body);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  const record: MessageRecord = {
    reversePath: '',
    smtpUtf8: false,
    origin: {
      session: newId(),
      listener: 'router',
      kind: 'internal',
      client: { address: '127.0.0.1', name: hostname, helo: hostname },
    },
    trace: newId(),
    arrived: now,
    facts: {
      headerBytes: header.length,
      size: bytes.length,
      bodyHash: hash.digest(),
      eightBitBody: false,
      eightBitHeader: false,
      messageId: messageIdOf(text),
    },
    prepend: '',
    originating: true,
    junk: false,
    chunks: chunks.map(({ length }) => length),
    recipients: to.length,
    held: false,
    delayNoticed: false,
    ...(isTlsReport && { tlsReport: true }),
  };
  const recipients = to.map((address) => ({
    recipient: { address, notify: ['NEVER' as const] },
    status: { state: 'waiting' as const },
  }));
  const message = loadedMessage(newQueueId(now), record, recipients);
  const pieces = chunks.map((chunk, n) => putBytes(keys.body(message.id, n), chunk));
  return { message, operations: [...messageRecords(message), ...pieces], bytes };
}
