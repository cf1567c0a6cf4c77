import { newId } from '#shared/ids.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { decodeXtext, type EsmtpParameters, parseParameters, parsePath, pathIn } from '../../parsers/mail-path.ts';
import { NON_ASCII_ADDRESS } from '../../replies.ts';
import { verdictOf } from '../ask-policy.ts';
import type { CommandHandler, CommandSession } from '../handler.ts';
import { authOffer, knowsRequireTls, offersRequireTls, tlsOffer } from '../offers.ts';
import type { MailTransaction } from '../transaction.ts';
import { pathReply } from './path-reply.ts';

const TLS_FOR_REQUIRETLS = reply(530, '5.7.10', 'REQUIRETLS needs TLS: issue STARTTLS first');

const syntax = (text: string): Reply => reply(501, '5.5.4', text);

/** MAIL (RFC 5321 §4.1.1.2): begins a transaction. */
export const mail: CommandHandler<'sender-check'> = async (session, argument, ascii) => {
  if (session.transaction !== undefined) return reply(503, '5.5.1', 'A mail transaction is open already');
  const path = /^FROM: *(.*)$/i.exec(argument)?.[1];
  if (path === undefined) return reply(501, '5.5.4', 'Syntax: MAIL FROM:<address>');
  const parsed = parsePath(pathIn(path, session.listener['address-syntax']), false);
  if ('problem' in parsed) return pathReply(parsed.problem, '5.1.7');
  const parameters = parseParameters(parsed.rest);
  if ('problem' in parameters) return syntax(parameters.problem);
  const transaction = begin(session, parsed.address, parameters.parameters);
  if ('code' in transaction) return transaction;
  if (!ascii && !transaction.smtpUtf8) return NON_ASCII_ADDRESS; // RFC 6531 §3.5
  const { facts } = session;
  const { trace, reversePath, size } = transaction;
  const call = session.deps.policy['sender-check']({ facts, reversePath, size }, { trace });
  const verdict = await verdictOf(call, session.log, trace);
  if (verdict.action !== 'accept') {
    return session.log.refused('sender refused', verdict.reply, { trace, from: reversePath });
  }
  if (verdict.scope === 'internal') session.recognized();
  session.transaction = { ...transaction, reversePath: verdict.reversePath ?? reversePath };
  return reply(250, '2.1.0', 'Sender OK');
};

/** The transaction that these parameters make, or what is wrong with one of them. */
function begin(session: CommandSession, reversePath: string, parameters: EsmtpParameters): MailTransaction | Reply {
  const transaction: MailTransaction = {
    trace: newId(),
    reversePath,
    smtpUtf8: false,
    size: undefined,
    ret: undefined,
    envid: undefined,
    requireTls: false,
    recipients: new Map(),
    recipientBytes: 0,
    named: [],
    refused: 0,
  };
  for (const [keyword, value] of parameters) {
    const problem = apply(session, transaction, keyword, value);
    if (problem !== undefined) return problem;
  }
  return transaction;
}

function apply(
  session: CommandSession,
  transaction: MailTransaction,
  keyword: string,
  value: string | true,
): Reply | undefined {
  switch (keyword) {
    case 'SIZE': {
      // RFC 1870 §6.1
      if (value === true || !/^\d{1,20}$/.test(value)) return syntax('SIZE needs a number of bytes');
      // 20 digits are more than a number holds exactly. Whether the size is too large is policy's decision.
      transaction.size = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
      return undefined;
    }
    case 'BODY':
      // RFC 6152 §2. What the message holds is looked at when it comes, whatever was declared.
      if (value === true || !/^(?:7BIT|8BITMIME)$/i.test(value)) return syntax('BODY must be 7BIT or 8BITMIME');
      return undefined;
    case 'SMTPUTF8':
      if (value !== true) return syntax('SMTPUTF8 takes no value'); // RFC 6531 §3.4
      transaction.smtpUtf8 = true;
      return undefined;
    case 'RET': {
      // RFC 3461 §4.3
      const ret = value === true ? undefined : value.toUpperCase();
      if (ret !== 'FULL' && ret !== 'HDRS') return syntax('RET must be FULL or HDRS');
      transaction.ret = ret;
      return undefined;
    }
    case 'ENVID': {
      // RFC 3461 §4.4
      const envid = value === true || value.length > 100 ? undefined : decodeXtext(value);
      if (envid === undefined) return syntax('ENVID must be xtext of at most 100 characters');
      transaction.envid = envid;
      return undefined;
    }
    case 'REQUIRETLS':
      transaction.requireTls = true;
      return requireTls(session, value);
    case 'AUTH':
      // RFC 4954 §5: what the client says of the submitter is not trusted, as if it were AUTH=<>.
      if (authOffer(session) === 'none' || value === true) return unknown(keyword);
      return undefined;
    default:
      return unknown(keyword);
  }
}

/** REQUIRETLS (RFC 8689 §2): outside of TLS it is not offered, and there would be nothing to keep up. */
function requireTls(session: CommandSession, value: string | true): Reply | undefined {
  if (offersRequireTls(session)) return value === true ? undefined : syntax('REQUIRETLS takes no value');
  const mayCome = knowsRequireTls(session.listener) && tlsOffer(session) !== 'none';
  return mayCome ? TLS_FOR_REQUIRETLS : unknown('REQUIRETLS');
}

function unknown(keyword: string): Reply {
  return reply(555, '5.5.4', `MAIL parameter ${keyword} is not known`); // RFC 5321 §4.1.1.11
}
