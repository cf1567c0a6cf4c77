import { DsnNotify, type EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { decodeOrcpt, type EsmtpParameters, parseParameters, parsePath, pathIn } from '../../parsers/mail-path.ts';
import { NON_ASCII_ADDRESS, TOO_MANY_RECIPIENTS } from '../../replies.ts';
import { verdictOf } from '../ask-policy.ts';
import type { CommandHandler } from '../handler.ts';
import { pathReply } from './path-reply.ts';

/** Bytes that the recipients of a transaction may take as JSON: they cross the bus in one message, and NATS carries 1 MB. */
const RECIPIENT_BYTES = 512 * 1024;

const syntax = (text: string): Reply => reply(501, '5.5.4', text);

/** RCPT (RFC 5321 §4.1.1.3): adds a recipient to the transaction. */
export const rcpt: CommandHandler<'recipient-check'> = async (session, argument, ascii) => {
  const { transaction } = session;
  if (transaction === undefined) return reply(503, '5.5.1', 'Send MAIL first');
  const path = /^TO: *(.*)$/i.exec(argument)?.[1];
  if (path === undefined) return syntax('Syntax: RCPT TO:<address>');
  const parsed = parsePath(pathIn(path, session.listener['address-syntax']), true);
  if ('problem' in parsed) return pathReply(parsed.problem, '5.1.3');
  if (parsed.address === '') return pathReply('syntax', '5.1.3');
  if (!ascii && !transaction.smtpUtf8) return NON_ASCII_ADDRESS; // RFC 6531 §3.5
  const parameters = parseParameters(parsed.rest);
  if ('problem' in parameters) return syntax(parameters.problem);
  const recipient = requested(parsed.address, parameters.parameters);
  if ('code' in recipient) return recipient;
  // RFC 5321 §4.5.3.1.10: temporary, so that the client sends the rest in a transaction of its own.
  if (transaction.named.length >= session.limits.recipients) return TOO_MANY_RECIPIENTS;

  const { facts } = session;
  const { trace, reversePath } = transaction;
  const call = session.deps.policy['recipient-check']({ facts, reversePath, recipient }, { trace });
  const verdict = await verdictOf(call, session.log, trace);
  if (verdict.action !== 'accept') {
    transaction.refused++;
    const about = { trace, from: reversePath, recipient: recipient.address };
    return session.log.refused('recipient refused', verdict.reply, about);
  }
  // An alias may lead to many. The first one is taken whatever its size: smaller transactions would not help.
  const size = transaction.recipients.size + verdict.recipients.length;
  const bytes = transaction.recipientBytes + Buffer.byteLength(JSON.stringify(verdict.recipients));
  const tooMany = size > session.limits.recipients || bytes > RECIPIENT_BYTES;
  if (tooMany && transaction.named.length > 0) return TOO_MANY_RECIPIENTS;
  transaction.recipientBytes = bytes;
  transaction.named.push(recipient.address);
  for (const target of verdict.recipients) {
    if (!transaction.recipients.has(target.address)) transaction.recipients.set(target.address, target);
  }
  return reply(250, '2.1.5', 'Recipient OK');
};

/** What RCPT asks for, or what is wrong with it. */
function requested(address: string, parameters: EsmtpParameters): EnvelopeRecipient | Reply {
  const recipient: EnvelopeRecipient = { address };
  for (const [keyword, value] of parameters) {
    switch (keyword) {
      case 'NOTIFY': {
        const notify = value === true ? undefined : parseNotify(value);
        if (notify === undefined) return syntax('NOTIFY must be NEVER, or any of SUCCESS, FAILURE and DELAY');
        recipient.notify = notify;
        break;
      }
      case 'ORCPT': {
        // RFC 3461 §4.2: addr-type ";" xtext
        const known = value !== true && value.length <= 500 && /^[A-Za-z0-9-]+;./.test(value);
        const orcpt = known ? decodeOrcpt(value) : undefined;
        if (orcpt === undefined) return syntax('ORCPT must be an address type, a semicolon and an address as xtext');
        recipient.orcpt = orcpt;
        break;
      }
      default:
        return reply(555, '5.5.4', `RCPT parameter ${keyword} is not known`); // RFC 5321 §4.1.1.11
    }
  }
  return recipient;
}

/** RFC 3461 §4.1: NEVER stands alone. */
function parseNotify(value: string): EnvelopeRecipient['notify'] {
  const parsed = DsnNotify.array().min(1).safeParse(value.toUpperCase().split(','));
  if (!parsed.success || (parsed.data.includes('NEVER') && parsed.data.length > 1)) return undefined;
  return parsed.data;
}
