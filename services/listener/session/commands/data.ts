import { comesFromOutside } from '#services/policy/contract.ts';
import { errorText } from '#shared/errors.ts';
import { Origin } from '#shared/mail/envelope.ts';
import { formatReply, reply } from '#shared/mail/reply.ts';
import { IncomingMessage, type MessageCheck } from '../../message/incoming-message.ts';
import { type OpenTransfer, RouterTransfer } from '../../message/router-transfer.ts';
import { GO_AHEAD, routerRefusal } from '../../replies.ts';
import { verdictOf } from '../ask-policy.ts';
import type { CommandHandler, CommandSession } from '../handler.ts';
import { envelopeOf, type MailTransaction } from '../transaction.ts';

type DataSession = CommandSession<'message-check'>;

/**
 * DATA (RFC 5321 §4.1.1.4). 354 comes only when a router has opened a transfer: a message that cannot be kept is
 * refused before the client sends it.
 */
export const data: CommandHandler<'message-check'> = async (session, argument) => {
  const { transaction } = session;
  if (argument.trim() !== '') return reply(501, '5.5.4', 'DATA takes no parameters');
  if (transaction === undefined) return reply(503, '5.5.1', 'Send MAIL first');
  if (transaction.named.length === 0) {
    // RFC 5321 §3.3: 554 where recipients were named and all of them refused.
    return transaction.refused > 0
      ? reply(554, '5.5.1', 'No valid recipients')
      : reply(503, '5.5.1', 'Send RCPT first');
  }
  const { trace } = transaction;
  let opened: OpenTransfer;
  try {
    // Only those facts that `Origin` names go with the message.
    opened = await session.deps.placement.open(
      { envelope: envelopeOf(transaction), origin: Origin.parse(session.facts), sizeHint: transaction.size },
      { trace },
    );
  } catch (error) {
    const refusal = routerRefusal(error);
    session.log.warn('message deferred: no router took it', {
      trace,
      error: errorText(error),
      reply: formatReply(refusal),
    });
    return refusal;
  }
  const transfer = new RouterTransfer(session.deps, opened, trace, transaction.size);
  const limits = { message: session.limits['message-size'], header: session.limits['header-size'] };
  const { facts, hostname } = session;
  const { reversePath, named: recipients } = transaction;
  const mail = { facts, hostname, queueId: opened.queueId, reversePath, recipients };
  const screening = session.deps.filters.screening(mail);
  const check = messageCheck(session, transaction, opened.queueId);
  session.receive(new IncomingMessage({ transfer, screening, check }, limits, comesFromOutside(facts)), trace);
  return GO_AHEAD;
};

function messageCheck(session: DataSession, transaction: MailTransaction, queueId: string): MessageCheck {
  return (known, header) => {
    const { trace, reversePath, smtpUtf8, named: recipients } = transaction;
    const { facts } = session;
    const call = session.deps.policy['message-check'](
      { facts, queueId, reversePath, recipients, smtpUtf8, ...known },
      { trace, bytes: header },
    );
    return verdictOf(call, session.log, trace);
  };
}
