import { setTimeout as delay } from 'node:timers/promises';
import { type Reply, reply } from '#shared/reply.ts';
import { type Credentials, decodeBase64, parsePlain, userName } from '../../parsers/sasl.ts';
import { NOT_IMPLEMENTED, TLS_FIRST } from '../../replies.ts';
import { verdictOf } from '../ask-policy.ts';
import type { CommandHandler, CommandSession } from '../handler.ts';
import { authOffer } from '../offers.ts';
import type { CommandResult } from '../session-reply.ts';

type AuthSession = CommandSession<'user-authenticate'>;

/** How long the reply to a wrong password is held back where policy, of the version before, does not say it. */
const FAILURE_DELAY_MS = 1000;

const challenge = (text: string): Reply => ({ code: 334, text });
const USERNAME = challenge(Buffer.from('Username:').toString('base64'));
const PASSWORD = challenge(Buffer.from('Password:').toString('base64'));
const CANCELLED = reply(501, '5.7.0', 'Authentication cancelled');
const NOT_BASE64 = reply(501, '5.5.2', 'Cannot decode this: it is not base64'); // RFC 4954 §4
const BAD_CREDENTIALS = reply(501, '5.5.2', 'Credentials are not in the form of the mechanism');

/** AUTH (RFC 4954 §4): PLAIN (RFC 4616) and LOGIN. */
export const auth: CommandHandler<'user-authenticate'> = (session, argument) => {
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

type Step = (session: AuthSession, response: string) => CommandResult | Promise<CommandResult>;

/** Send a challenge; the response to it goes to `step`, unless the client cancels. */
function next(session: AuthSession, asked: Reply, step: Step): Reply {
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

async function authenticate(
  session: AuthSession,
  mechanism: 'PLAIN' | 'LOGIN',
  given: Credentials,
): Promise<CommandResult> {
  const { password, ...names } = given;
  const call = session.deps.policy['user-authenticate'](
    { facts: session.facts, mechanism, ...names },
    { bytes: password },
  );
  // Policy logs the outcome (DOMINO A3), because it knows why.
  const verdict = await verdictOf(call, session.log);
  if (verdict.action === 'accept') {
    session.authenticated(verdict.user);
    return reply(235, '2.7.0', 'Authentication succeeded');
  }
  const told = 'delayMs' in verdict ? verdict.delayMs : undefined;
  const delayMs = told ?? (verdict.action === 'reject' ? FAILURE_DELAY_MS : undefined);
  if (delayMs === undefined) return verdict.reply;
  session.failedLogins++;
  await delay(delayMs, undefined, { ref: false });
  return verdict.reply;
}
