import { isIntermediate, isPositive, type Reply } from '#shared/mail/reply.ts';
import type { OpenedMessage } from '../../job.ts';
import { DotStuffer } from './dot-stuffing.ts';
import type { Exchange } from './exchange.ts';
import { isAccepted, isWelcome } from './verdict.ts';

/** A message by DATA (RFC 5321 §4.1.1.4): the peer says after MAIL and RCPT whether it wants the message. */

/** Bytes handed to the socket before we wait for it to accept them. */
const BACKLOG_BYTES = 256 * 1024;
/** The slowest reader of a body that is tolerated, in bytes a second beyond the data time-out. */
export const LEAST_BYTES_PER_SECOND = 4096;

/** `envelope`: the lines up to the last RCPT. Rejects with `ConnectionEnded`, or when the message cannot be read. */
export async function sendByData(
  exchange: Exchange,
  envelope: readonly string[],
  message: OpenedMessage,
): Promise<void> {
  const { connection, protocol } = exchange.session;
  await sendEnvelope(exchange, [...envelope, 'DATA\r\n']);
  exchange.checkOrder(isAccepted);
  if (exchange.data === undefined || !isIntermediate(exchange.data)) {
    exchange.needsReset = isAccepted(exchange.mail);
    return;
  }
  if (exchange.accepted.length > 0) {
    await sendBody(exchange, message);
    return;
  }
  // RFC 2033 §4.2: LMTP has to refuse DATA without an accepted recipient, and any peer has to after a refused MAIL.
  if (protocol === 'lmtp' || !isAccepted(exchange.mail)) {
    throw connection.protocolError(`${connection.peer} asked for a message for which it accepted no recipient`);
  }
  // RFC 2920 §3.1: no recipient was accepted, but DATA was: a lone dot ends the message, which goes to none.
  await connection.command('.\r\n', 'the reply to an empty message for no recipient', exchange.timeouts.data);
}

async function sendEnvelope(exchange: Exchange, lines: readonly string[]): Promise<void> {
  const { connection, peer } = exchange.session;
  const { command } = exchange.timeouts;
  if (peer.pipelining) {
    connection.write(lines.join(''));
    connection.expect(lines.length, 'replies to MAIL, RCPT and DATA', command, (said, index) => {
      exchange.heard(said, index);
    });
    await connection.replies();
    return;
  }
  const mail = exchange.reset ? 1 : 0;
  for (const [index, line] of lines.entries()) {
    const isData = index === lines.length - 1;
    if (isData && !exchange.verdicts.some(isWelcome)) break;
    const { reply: said } = await connection.command(line, line.slice(0, 4), command);
    exchange.heard(said, index);
    if (index === mail && !isPositive(said)) return;
  }
}

async function sendBody(exchange: Exchange, message: OpenedMessage): Promise<void> {
  const { accepted } = exchange;
  const { connection, protocol } = exchange.session;
  const { command, data } = exchange.timeouts;
  const count = protocol === 'lmtp' ? accepted.length : 1;
  let early: Reply | undefined;
  connection.expect(count, 'the reply to the message', data, (said, index) => {
    if (!exchange.handedOver) early ??= said;
    else if (protocol === 'smtp') for (const verdict of accepted) verdict.final = said;
    // RFC 2033 §4.2: one reply for each accepted recipient, in the order of RCPT.
    else for (const verdict of accepted.slice(index, index + 1)) verdict.final = said;
  });
  connection.within(command, data + (message.size / LEAST_BYTES_PER_SECOND) * 1000);
  const stuffer = new DotStuffer();
  connection.cork();
  for await (const chunk of message.read()) {
    connection.write(stuffer.push(chunk));
    if (connection.backlog < BACKLOG_BYTES) continue;
    connection.uncork();
    await connection.drained();
    if (early !== undefined) break;
    connection.cork();
  }
  if (early !== undefined) {
    refusedEarly(exchange, early);
    return;
  }
  if (connection.ended !== undefined) throw connection.ended;
  connection.write(stuffer.end());
  exchange.handedOver = true;
  connection.uncork();
  connection.within(data, data * count);
  await connection.replies();
  const odd = accepted.find(({ final }) => final !== undefined && isIntermediate(final))?.final;
  if (odd !== undefined) throw connection.protocolError(`${connection.peer} answered the message with ${odd.code}`);
}

/** The peer refuses before the end. Without the final dot it has no message, so its reply is the last word. */
function refusedEarly({ accepted, session: { connection } }: Exchange, said: Reply): void {
  if (said.code < 400) {
    throw connection.protocolError(`${connection.peer} answered ${said.code} before the message had ended`);
  }
  for (const verdict of accepted) verdict.final = said;
  connection.destroy('the peer refused the message before its end');
}
