import type { Origin } from '#shared/envelope.ts';
import { errorText } from '#shared/errors.ts';
import { formatReply, reply } from '#shared/reply.ts';
import { IncomingMessage, type Judge } from '../../message/incoming-message.ts';
import { type Opened, RouterTransfer } from '../../message/router-transfer.ts';
import type { Handler } from '../dispatch.ts';
import { GO_AHEAD, routerRefusal } from '../replies.ts';
import type { Session } from '../session.ts';
import { envelopeOf, type Transaction } from '../transaction.ts';

/**
 * DATA (RFC 5321 §4.1.1.4). 354 comes only when a router has opened a transfer: whoever cannot keep a message says so
 * before the client sends it.
 */
export const data: Handler = async (session, argument) => {
  const { transaction } = session;
  if (argument.trim() !== '') return reply(501, '5.5.4', 'DATA takes no parameters');
  if (transaction === undefined) return reply(503, '5.5.1', 'Send MAIL first');
  if (transaction.named.length === 0) {
    // RFC 5321 §3.3: 554 where recipients were named and all of them refused.
    return transaction.refused > 0
      ? reply(554, '5.5.1', 'No valid recipients')
      : reply(503, '5.5.1', 'Send RCPT first');
  }
  const { router, placement, log } = session.dependencies;
  const { trace } = transaction;
  let opened: Opened;
  try {
    opened = await placement.open(
      { envelope: envelopeOf(transaction), origin: originOf(session), sizeHint: transaction.size },
      { trace },
    );
  } catch (error) {
    const refusal = routerRefusal(error);
    session.log.warn('message deferred: no router took it', {
      trace,
      problem: errorText(error),
      reply: formatReply(refusal),
    });
    return refusal;
  }
  const transfer = new RouterTransfer(router, opened, trace, log, transaction.size);
  const limits = { message: session.limits['message-size'], header: session.limits['header-size'] };
  session.receive(new IncomingMessage(transfer, limits, judge(session, transaction, opened.queueId)), trace);
  return GO_AHEAD;
};

function judge(session: Session, transaction: Transaction, queueId: string): Judge {
  return ({ size }, header) => {
    const { trace, reversePath, smtpUtf8, named: recipients } = transaction;
    const { facts } = session;
    const call = session.dependencies.policy['message-check'](
      { facts, queueId, reversePath, recipients, smtpUtf8, size },
      { trace, bytes: header },
    );
    return session.ask(call, trace);
  };
}

function originOf(session: Session): Origin {
  const { scope: _, greeting: __, nameFailed: ___, ...origin } = session.facts;
  return origin;
}
