import { inLocalDomain } from '#cluster/config/domain-aliases.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { StoreOperation } from '#cluster/store.ts';
import { needsSmtpUtf8, normalizeAddress } from '#shared/address/address.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { newQueueId } from '#shared/ids.ts';
import { messageIdOf } from '#shared/mail/header.ts';
import type { SentNotice } from '#shared/mail/queue-entry.ts';
import { CHUNK_BYTES } from '../contract.ts';
import { loadedMessage, type Message, messageRecords } from '../store/message.ts';
import { keys, type MessageRecord, putBytes, type RecipientRecord } from '../store/records.ts';
import { buildDsn } from './dsn.ts';
import type { NoticeFacts } from './facts.ts';
import { languageOf } from './languages/language.ts';
import type { Notices } from './notices.ts';
import { letters } from './readers.ts';

/** A notice as a message of the queue: what to write to commit it, and what to add then. */
type NoticeMessage = { message: Message; operations: StoreOperation[]; body: Buffer; sent: SentNotice };

/** The notices of a plan about a message. `original`: its first bytes, where they can be read. */
export function noticeMessages(
  plan: Notices,
  { about, original, now }: { about: Message; original: Buffer | undefined; now: number },
  { node, queue, dsn, rewrite }: Config,
): NoticeMessage[] {
  const { hostname } = node;
  const until = about.record.arrived + queue.expire;
  return letters(plan, about.record, dsn, original).map((letter) => {
    const language = languageOf(letter.to, dsn);
    return noticeMessage({ ...letter, about, language, original, hostname, now, until }, rewrite['domain-aliases']);
  });
}

/** Notices that a message remembers. */
const MOST_REMEMBERED = 20;

/** Note with a message that a notice about it was sent; it is on disk with the next write of its record, or its receipt. */
export function rememberNotice(record: MessageRecord, sent: SentNotice): void {
  record.notices = [...(record.notices ?? []), sent].slice(-MOST_REMEMBERED);
}

/** It is delivered in the local domain that `aliases` has for that of its reader, as all mail. */
function noticeMessage(facts: NoticeFacts, aliases: Config['rewrite']['domain-aliases']): NoticeMessage {
  const id = newQueueId(facts.now);
  const { about, to, hostname, now } = facts;
  const { bytes, headerBytes } = buildDsn(id, facts);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  const hash = new RelaxedBodyHash();
  hash.update(bytes.subarray(headerBytes));
  const record: MessageRecord = {
    // RFC 3461 §6: the null reverse-path, so that a notice never causes another one.
    reversePath: '',
    smtpUtf8: needsSmtpUtf8(to),
    origin: {
      session: about.record.origin.session,
      listener: 'router',
      kind: 'internal',
      client: { address: '127.0.0.1', name: hostname, helo: hostname },
    },
    trace: about.record.trace,
    arrived: now,
    facts: {
      headerBytes,
      size: bytes.length,
      bodyHash: hash.digest(),
      eightBitBody: bytes.subarray(headerBytes).some((byte) => byte > 127),
      eightBitHeader: bytes.subarray(0, headerBytes).some((byte) => byte > 127),
      messageId: messageIdOf(bytes.toString('latin1', 0, headerBytes)),
    },
    // RFC 8689 §5: it is asked for on the way back too, and not insisted on (queue/message-hop.ts).
    ...(about.record.tls?.level === 'requiretls' && { tls: about.record.tls }),
    prepend: '',
    originating: true,
    junk: false,
    chunks: chunks.map((c) => c.length),
    recipients: 1,
    held: false,
    delayNoticed: false,
  };
  const recipient: RecipientRecord = {
    recipient: { address: inLocalDomain(normalizeAddress(to), aliases), notify: ['NEVER'] },
    status: { state: 'waiting' },
  };
  const message = loadedMessage(id, record, [recipient]);
  const pieces = chunks.map((chunk, n) => putBytes(keys.body(id, n), chunk));
  const operations = [...messageRecords(message), ...pieces];
  return { message, operations, body: bytes, sent: { queueId: id, kind: facts.kind, to, at: now } };
}
