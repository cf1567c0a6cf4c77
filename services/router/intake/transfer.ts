import type { StoreOperation } from '#cluster/store.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Envelope, EnvelopeRecipient, Origin } from '#shared/mail/envelope.ts';
import type { MessageFacts } from '#shared/mail/message-facts.ts';
import { type MessageTls, needsTls } from '#shared/mail/message-tls.ts';
import type { MessageHold } from '#shared/mail/queue-entry.ts';
import type { Rules } from '../rules/rules.ts';
import { loadedMessage, type Message } from '../store/message.ts';
import { keys, type MessageRecord, putBytes } from '../store/records.ts';
import { payloadOf } from '../store/seal.ts';

/** A message on its way in, as its intake knows it (intake.ts). */
export type IntakeTransfer = {
  id: string;
  queueId: string;
  envelope: Envelope;
  origin: Origin;
  trace: string;
  /** Who opened it, as the bus tells callers apart. */
  caller: string;
  /** ms since 1970 */
  arrived: number;
  /** Number of the chunk that comes next. */
  next: number;
  /** Sizes of the pieces written so far. */
  written: number[];
  bytes: number;
  /** When something came for it last, by the monotonic clock. */
  touched: number;
  /** Records of it may be on disk, whatever the write was answered. */
  begun: boolean;
};

/** What a listener says of a message when its last bytes come. */
export type Commit = {
  transfer: string;
  sequence: number;
  facts: MessageFacts;
  prepend: string[];
  originating: boolean;
  junk: boolean;
  hold?: boolean | undefined;
  header?: string | undefined;
  reversePath?: string | undefined;
  authenticity?: Authenticity | undefined;
  filters?: Record<string, string> | undefined;
  tls?: MessageTls | undefined;
};

/** Have the rules of the queue decide about a message: its envelope becomes what they say. Answers who holds it, if somebody does. */
function ruled(transfer: IntakeTransfer, request: Commit, rules: Rules): MessageHold | undefined {
  const { envelope, origin, arrived: at } = transfer;
  const byFilter: MessageHold | undefined = request.hold === true ? { by: 'filter', at } : undefined;
  const reversePath = request.reversePath ?? envelope.reversePath;
  const found = rules.apply(envelope, { reversePath, user: origin.user, ours: request.originating });
  if (found === undefined) return byFilter;
  transfer.envelope = found.envelope;
  return found.heldBy === undefined ? byFilter : { by: 'rule', rule: found.heldBy, at };
}

/** Check that what came is what was announced; `last`: bytes of the last chunk. Throws `malformed`. */
export function checkSize({ id, bytes }: IntakeTransfer, { size, headerBytes }: MessageFacts, last: number): void {
  if (bytes + last === size && headerBytes <= size) return;
  throw new SealpostError(
    CALL_ERRORS.malformed,
    `transfer ${id}: ${bytes + last} bytes came, ${size} were announced, ${headerBytes} of them header`,
  );
}

/** Take note of the next piece, which is not the last. Returns the operations that write it. */
export function addPiece(transfer: IntakeTransfer, bytes: Uint8Array): StoreOperation[] {
  const n = transfer.written.push(bytes.length) - 1;
  const piece = putBytes(keys.body(transfer.queueId, n), bytes);
  return n === 0 ? [putBytes(keys.transfer(transfer.queueId), Buffer.alloc(0)), piece] : [piece];
}

/**
 * The message that a transfer becomes with its last bytes. `last`: the operations that write these and delete the mark
 * of the transfer; `body`: all of the body, where it is one piece.
 */
export function toMessage(
  transfer: IntakeTransfer,
  request: Commit,
  bytes: Uint8Array,
  rules: Rules,
): { message: Message; last: StoreOperation[]; body: Buffer | undefined } {
  const { queueId, origin, trace, arrived, written } = transfer;
  const hold = ruled(transfer, request, rules);
  const tls = requested(transfer.envelope, request);
  const envelope = request.originating
    ? withListReports(transfer.envelope)
    : withoutReportsToStrangers(transfer.envelope);
  const last: StoreOperation[] = [];
  let body: Buffer | undefined;
  if (written.length > 0) last.push({ type: 'del', key: keys.transfer(queueId) });
  if (bytes.length > 0) {
    const piece = putBytes(keys.body(queueId, written.push(bytes.length) - 1), bytes);
    last.push(piece);
    if (written.length === 1 && piece.type === 'put') body = payloadOf(piece.value);
  }
  const record: MessageRecord = {
    reversePath: request.reversePath ?? envelope.reversePath,
    // What may travel in TLS only does not come back whole in a report of ours or of others (RFC 8689 §5).
    ret: needsTls(tls) && envelope.ret === 'FULL' ? 'HDRS' : envelope.ret,
    envid: envelope.envid,
    smtpUtf8: envelope.smtpUtf8,
    origin,
    trace,
    arrived,
    facts: request.facts,
    prepend: request.prepend.join(''),
    ...(request.header !== undefined && { header: request.header }),
    originating: request.originating,
    junk: request.junk,
    ...(request.authenticity !== undefined && { authenticity: request.authenticity }),
    ...(request.filters !== undefined && { filters: request.filters }),
    ...(tls !== undefined && { tls }),
    chunks: written,
    recipients: envelope.recipients.length,
    held: hold !== undefined,
    ...(hold !== undefined && { hold }),
    delayNoticed: false,
  };
  const recipients = envelope.recipients.map((recipient) => ({ recipient, status: { state: 'waiting' as const } }));
  return { message: loadedMessage(queueId, record, recipients), last, body };
}

/** REQUIRETLS is more than all else; a field TLS-Required is ignored beside it (RFC 8689 §4.1). */
function requested({ requireTls }: Envelope, { tls }: Commit): MessageTls | undefined {
  return requireTls === true ? { level: 'requiretls', by: 'requiretls' } : tls;
}

/**
 * The envelope of a client that is not trusted. Its reverse-path may be forged: a success report, and all of a message in
 * a failure report, would let it send mail of ours, and a body of its choice, to anybody. Failures are reported all the
 * same (RFC 5321 §6.1), with the header alone.
 */
function withoutReportsToStrangers(envelope: Envelope): Envelope {
  const recipients = envelope.recipients.map((recipient) => withoutSuccess(withoutList(recipient)));
  return { ...envelope, recipients, ret: envelope.ret === 'FULL' ? 'HDRS' : envelope.ret };
}

/** The envelope of a trusted client: of recipients that a list stands for, success is reported of the list alone. */
function withListReports(envelope: Envelope): Envelope {
  if (envelope.recipients.every(({ list }) => list === undefined)) return envelope;
  const recipients = envelope.recipients.map((recipient) =>
    recipient.list === undefined ? recipient : withoutSuccess(recipient),
  );
  return { ...envelope, recipients };
}

function withoutList(recipient: EnvelopeRecipient): EnvelopeRecipient {
  if (recipient.list === undefined) return recipient;
  const { list: _, ...rest } = recipient;
  return rest;
}

function withoutSuccess(recipient: EnvelopeRecipient): EnvelopeRecipient {
  if (recipient.notify?.includes('SUCCESS') !== true) return recipient;
  const notify = recipient.notify.filter((kind) => kind !== 'SUCCESS');
  // Asked for success alone, it wants to hear of nothing else (RFC 3461 §4.1).
  return { ...recipient, notify: notify.length > 0 ? notify : ['NEVER'] };
}

/** What deletes every record that a transfer may have left. */
export function leftovers({ queueId, written, envelope }: IntakeTransfer): StoreOperation[] {
  const all = [
    ...written.map((_, n) => keys.body(queueId, n)),
    ...[keys.transfer(queueId), keys.message(queueId), keys.place(queueId)],
    ...[keys.reportNote(queueId), keys.unindexed(queueId)],
    ...envelope.recipients.map((_, n) => keys.recipient(queueId, n)),
  ];
  return all.map((key) => ({ type: 'del', key }));
}
