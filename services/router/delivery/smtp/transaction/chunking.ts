import { BoundedMap } from '#shared/bounded-map.ts';
import { SealpostError } from '#shared/errors.ts';
import { isIntermediate, isPositive, type Reply } from '#shared/mail/reply.ts';
import { StaleChannel } from '../../channel.ts';
import type { OpenedMessage } from '../../job.ts';
import type { ConnectionEnded } from '../errors.ts';
import { LEAST_BYTES_PER_SECOND } from './data.ts';
import type { Exchange, Transfer } from './exchange.ts';
import { isAccepted } from './verdict.ts';

/**
 * CHUNKING (RFC 3030): the message by BDAT, which says how many bytes follow, in place of DATA.
 *
 * What it is good for is one round trip less: `BDAT … LAST` and the message go out in one write with MAIL and RCPT, where
 * DATA waits for 354. So it is used for messages that fit into one write, at peers that pipeline too, from the second
 * message of a session on; larger ones, and LMTP (a reply for each recipient that was accepted, RFC 2033 §4.2, so their
 * number is not known yet), go by DATA.
 *
 * A peer that offers CHUNKING, or a proxy that passes the offer on, without knowing BDAT would read the message as commands:
 * a message could smuggle others. So the first BDAT of a session carries one byte, `one-byte`, and the rest follows as the
 * last chunk when that was taken: as many round trips as DATA, once. A byte without a line end makes no command, and spoils
 * the one that follows, so the session ends when it is refused for good.
 *
 * A host that does BDAT wrong, or hangs up at it, gets its mail by DATA for an hour, on new connections; the message is
 * sent again by DATA in the same attempt if it is certain that the host has not taken it.
 */

/** A larger message is worth no more than a round trip, and is not thrown at a peer that may refuse its recipients. */
const MOST_CHUNK_BYTES = 128 * 1024;

const FAULT_MS = 3_600_000;
const MOST_HOSTS = 10_000;
const LF = 0x0a;
const CR = 0x0d;
const CRLF = Buffer.from('\r\n');

export type Pieces = { pieces: Buffer[]; bytes: number };

export function transferOf(wanted: Transfer, size: number): Transfer {
  return size > MOST_CHUNK_BYTES ? 'data' : wanted;
}

/** Send a message with its envelope (the lines up to the last RCPT). Rejects with `ConnectionEnded` or `StaleChannel`. */
export async function sendChunk(exchange: Exchange, envelope: readonly string[], chunk: Pieces): Promise<void> {
  const { connection } = exchange.session;
  await writeAll(exchange, `${envelope.join('')}BDAT ${chunk.bytes} LAST\r\n`, chunk, {
    count: envelope.length + 1,
    onReply: (said, index) => exchange.heard(said, index),
  });
  exchange.checkOrder(isNotFinal);
  const { data: answer, accepted } = exchange;
  // RFC 3030 §2: a refusal leaves the state of the peer open.
  exchange.needsReset = !isAccepted(answer);
  if (accepted.length === 0) {
    exchange.handedOver = false;
    if (!isAccepted(answer)) return;
    throw connection.protocolError(`${connection.peer} took a message for which it accepted no recipient`);
  }
  if (answer === undefined || isAboutBdat(answer)) throw refusedBdat(exchange);
  for (const verdict of accepted) verdict.final = answer;
}

/** The same in two steps: one byte with the envelope, the rest when that was taken. */
export async function sendByteFirst(
  exchange: Exchange,
  envelope: readonly string[],
  { pieces: [start = CRLF] }: Pieces,
  message: OpenedMessage,
): Promise<void> {
  const { connection } = exchange.session;
  const { command } = exchange.timeouts;
  connection.cork();
  connection.write(`${envelope.join('')}BDAT 1\r\n`);
  connection.write(start.subarray(0, 1));
  connection.uncork();
  connection.expect(envelope.length + 1, 'replies to MAIL, RCPT and BDAT', command, (said, index) => {
    exchange.heard(said, index);
  });
  await connection.replies();
  exchange.checkOrder(isNotFinal);
  const { data: answer, accepted } = exchange;
  exchange.needsReset = true;
  if (accepted.length === 0) {
    await checkUnderstood(exchange);
    return;
  }
  if (answer === undefined || answer.code >= 500) throw refusedBdat(exchange);
  if (!isPositive(answer)) return;
  exchange.chunking = 'works';
  // The peer has taken its time. Reading tells whether the message may still go (queue/attempt.ts).
  const {
    pieces: [first = CRLF, ...others],
    bytes,
  } = await piecesOf(message);
  const rest = { pieces: [first.subarray(1), ...others], bytes: bytes - 1 };
  await writeAll(exchange, `BDAT ${rest.bytes} LAST\r\n`, rest, {
    count: 1,
    onReply: (said) => {
      exchange.data = said;
    },
  });
  exchange.checkOrder(isNotFinal);
  if (isAboutBdat(exchange.data)) throw refusedBdat(exchange);
  exchange.needsReset = !isAccepted(exchange.data);
  for (const verdict of accepted) verdict.final = exchange.data;
}

type Replies = { count: number; onReply: (said: Reply, index: number) => void };

/** Write commands that end in `BDAT … LAST`, and the chunk, and wait for all replies. The last one may take its time. */
async function writeAll(
  exchange: Exchange,
  commands: string,
  { pieces, bytes }: Pieces,
  { count, onReply }: Replies,
): Promise<void> {
  const { connection } = exchange.session;
  if (connection.ended !== undefined) throw connection.ended;
  const { command, data } = exchange.timeouts;
  const forMessage = (): void => connection.within(data, data + (bytes / LEAST_BYTES_PER_SECOND) * 1000);
  connection.cork();
  connection.write(commands);
  for (const piece of pieces) connection.write(piece);
  exchange.handedOver = true;
  connection.uncork();
  connection.expect(count, 'the reply to the message', command, (said, index) => {
    onReply(said, index);
    if (index === count - 2) forMessage();
  });
  if (count === 1) forMessage();
  await connection.replies();
}

/** No recipient was accepted. Where the peer does not know BDAT, its byte is the beginning of our next command. */
async function checkUnderstood(exchange: Exchange): Promise<void> {
  const { connection } = exchange.session;
  const { reply: said } = await connection.command('RSET\r\n', 'RSET', exchange.timeouts.command);
  exchange.needsReset = false;
  if (isPositive(said)) return;
  exchange.chunking = 'fails';
  connection.destroy('the peer offers CHUNKING and does not know BDAT');
}

/** The peer has not taken the message, and may take it by DATA. */
function refusedBdat(exchange: Exchange): StaleChannel {
  const { connection } = exchange.session;
  exchange.chunking = 'fails';
  connection.destroy('the peer offers CHUNKING and refused BDAT');
  return new StaleChannel({ cause: connection.ended });
}

function isNotFinal(said: Reply | undefined): boolean {
  return said !== undefined && isIntermediate(said);
}

/** The message in pieces as it is sent, which ends with CRLF as after DATA. Throws `message-damaged` for NUL. */
export async function piecesOf(message: OpenedMessage): Promise<Pieces> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  let beforeLast = CR;
  let last = LF;
  for await (const part of message.read()) {
    const piece = Buffer.isBuffer(part) ? part : Buffer.from(part.buffer, part.byteOffset, part.length);
    if (piece.length === 0) continue;
    // RFC 3030 §3: only BINARYMIME allows it.
    if (piece.includes(0)) throw new SealpostError('message-damaged', 'the stored message holds a NUL byte');
    pieces.push(piece);
    bytes += piece.length;
    beforeLast = piece.length > 1 ? (piece.at(-2) ?? 0) : last;
    last = piece.at(-1) ?? 0;
  }
  if (beforeLast === CR && last === LF && bytes > 0) return { pieces, bytes };
  return { pieces: [...pieces, CRLF], bytes: bytes + CRLF.length };
}

/** A refusal of BDAT that is about the command (RFC 5321 §4.2.1: x0z, syntax), not about the message. */
function isAboutBdat(said: Reply | undefined): boolean {
  return said !== undefined && said.code >= 500 && said.code < 510;
}

/**
 * Whether CHUNKING may be why a session ended. Peers close idle sessions (`hungUp`) and those that carried many messages,
 * which says nothing of a BDAT that went well before.
 */
export function isFaultOfChunking({ transfer }: Exchange, reason: ConnectionEnded['reason'], hungUp: boolean): boolean {
  return transfer !== 'data' && reason !== 'said' && reason !== 'local' && !(hungUp && transfer === 'chunk');
}

/** Hosts that offer CHUNKING and did it wrong. */
export class ChunkingFaults {
  /** Until when (`performance.now`) each gets its mail by DATA. */
  readonly #until = new BoundedMap<string, number>(MOST_HOSTS);

  note(host: string): void {
    this.#until.set(host, performance.now() + FAULT_MS);
  }

  has(host: string): boolean {
    return this.#until.size > 0 && (this.#until.get(host) ?? 0) > performance.now();
  }
}
