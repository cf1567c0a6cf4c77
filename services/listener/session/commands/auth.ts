import { setTimeout as delay } from 'node:timers/promises';
import { formatReply, type Reply, reply } from '#shared/reply.ts';
import { type Credentials, decodeBase64, parsePlain, userName } from '../../parsers/sasl.ts';
import type { Answer } from '../answer.ts';
import type { Handler } from '../dispatch.ts';
import { NOT_IMPLEMENTED, TLS_FIRST } from '../replies.ts';
import type { Session } from '../session.ts';
import { tlsOffer } from './starttls.ts';

/** How long a wrong password costs, in milliseconds. */
const FAILURE_DELAY = 1000;

const challenge = (text: string): Reply => ({ code: 334, text });
const USERNAME = challenge(Buffer.from('Username:').toString('base64'));
const PASSWORD = challenge(Buffer.from('Password:').toString('base64'));
const CANCELLED = reply(501, '5.7.0', 'Authentication cancelled');
const NOT_BASE64 = reply(501, '5.5.2', 'Cannot decode this: it is not base64'); // RFC 4954 §4
const BAD_CREDENTIALS = reply(501, '5.5.2', 'Credentials are not in the form of the mechanism');

/**
 * Whether AUTH can be used in this session as it stands. Mechanisms that need TLS are not advertised without it, and
 * AUTH then answers as if it did not exist (DOMINO A2). 538 is what RFC 4954 §6 keeps for history only.
 */
export function authOffer(session: Session): 'offered' | 'none' | 'tls-first' {
  const setting = session.listener.auth ?? (session.listener.kind === 'submission' ? 'tls' : 'off');
  if (setting === 'off') return 'none';
  if (setting === 'always' || session.secure) return 'offered';
  // There is a way to TLS: 530 tells the client to take it. Without one the command is not implemented here.
  return tlsOffer(session) === 'offered' ? 'tls-first' : 'none';
}

/** AUTH (RFC 4954 §4): PLAIN (RFC 4616) and LOGIN. */
export const auth: Handler = (session, argument) => {
  const offer = authOffer(session);
  if (offer === 'none') return NOT_IMPLEMENTED;
  if (offer === 'tls-first') return TLS_FIRST;
  if (session.facts.user !== undefined) return reply(503, '5.5.1', 'Already authenticated');
  if (session.transaction !== undefined) return reply(503, '5.5.1', 'AUTH is not allowed during a mail transaction');
  const [mechanism = '', initial, ...more] = argument.trim().split(/ +/);
  if (mechanism === '' || more.length > 0) return reply(501, '5.5.4', 'Syntax: AUTH mechanism [initial response]');
  switch (mechanism.toUpperCase()) {
    case 'PLAIN':
      return initial === undefined ? next(session, challenge(''), plain) : plain(session, initial);
    case 'LOGIN':
      return initial === undefined ? next(session, USERNAME, loginUser) : loginUser(session, initial);
    default:
      return reply(504, '5.5.4', 'Authentication mechanism is not supported: use PLAIN or LOGIN');
  }
};

type Step = (session: Session, response: string) => Answer | Promise<Answer>;

/** Send a challenge; the response to it goes to `step`, unless the client cancels. */
function next(session: Session, asked: Reply, step: Step): Reply {
  session.continuation = (response) => (response === '*' ? CANCELLED : step(session, response));
  return asked;
}

const plain: Step = (session, response) => {
  const message = decodeBase64(response);
  if (message === undefined) return NOT_BASE64;
  const credentials = parsePlain(message);
  return credentials === undefined ? BAD_CREDENTIALS : authenticate(session, 'PLAIN', credentials);
};

const loginUser: Step = (session, response) => {
  const name = decodeBase64(response);
  if (name === undefined) return NOT_BASE64;
  const user = userName(name);
  if (user === undefined) return BAD_CREDENTIALS;
  return next(session, PASSWORD, (_, secret) => {
    const password = decodeBase64(secret);
    return password === undefined ? NOT_BASE64 : authenticate(session, 'LOGIN', { user, password });
  });
};

async function authenticate(session: Session, mechanism: 'PLAIN' | 'LOGIN', given: Credentials): Promise<Answer> {
  const { facts } = session;
  const { policy } = session.dependencies;
  const about = { host: facts.client.name, user: given.user, mechanism };
  const call = policy['user-authenticate']({ facts, mechanism, user: given.user }, { bytes: given.password });
  const verdict = await session.ask(call, undefined);
  if (verdict.action === 'accept') {
    session.log.info('Authentication succeeded', about);
    session.authenticated(verdict.user);
    return reply(235, '2.7.0', 'Authentication succeeded');
  }
  session.log.warn('Authentication failed', { ...about, reply: formatReply(verdict.reply) });
  if (verdict.action === 'reject') {
    session.failedLogins++;
    // Makes guessing slow in one session; policy counts over all of them.
    await delay(FAILURE_DELAY, undefined, { ref: false });
  }
  return verdict.reply;
}
