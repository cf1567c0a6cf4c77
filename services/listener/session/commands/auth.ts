import { setTimeout as delay } from 'node:timers/promises';
import type { AuthenticateVerdict } from '#services/policy/contract.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import {
  type Bearer,
  type Credentials,
  decodeBase64,
  parseOauthBearer,
  parsePlain,
  parseXoauth2,
  userName,
} from '../../parsers/sasl.ts';
import { NOT_IMPLEMENTED, TLS_FIRST } from '../../replies.ts';
import { verdictOf } from '../ask-policy.ts';
import type { CommandHandler, CommandSession } from '../handler.ts';
import { authOffer, type Mechanism, mechanisms } from '../offers.ts';
import type { CommandResult } from '../session-reply.ts';

type Asks = 'user-authenticate' | 'token-authenticate';
type AuthSession = CommandSession<Asks>;

/** How long the reply to a wrong password is held back where policy, of the version before, does not say it. */
const FAILURE_DELAY_MS = 1000;

const challenge = (text: string): Reply => ({ code: 334, text });
const USERNAME = challenge(Buffer.from('Username:').toString('base64'));
const PASSWORD = challenge(Buffer.from('Password:').toString('base64'));
const CANCELLED = reply(501, '5.7.0', 'Authentication cancelled');
const NOT_BASE64 = reply(501, '5.5.2', 'Cannot decode this: it is not base64'); // RFC 4954 §4
const INVALID_TOKEN = reply(535, '5.7.8', 'Authentication credentials invalid');
const BAD_CREDENTIALS = reply(501, '5.5.2', 'Credentials are not in the form of the mechanism');

/** AUTH (RFC 4954 §4): PLAIN (RFC 4616) and LOGIN; with a token, OAUTHBEARER (RFC 7628) and XOAUTH2. */
export const auth: CommandHandler<Asks> = (session, argument) => {
  const offer = authOffer(session);
  if (offer === 'none') return NOT_IMPLEMENTED;
  if (offer === 'tls-first') return TLS_FIRST;
  if (session.facts.user !== undefined) return reply(503, '5.5.1', 'Already authenticated');
  if (session.transaction !== undefined) return reply(503, '5.5.1', 'AUTH is not allowed during a mail transaction');
  const [mechanism = '', initial, ...more] = argument.trim().split(/ +/);
  if (mechanism === '' || more.length > 0) return reply(501, '5.5.4', 'Syntax: AUTH mechanism [initial response]');
  const offered = mechanisms(session);
  const name = offered.find((known) => known === mechanism.toUpperCase());
  if (name === undefined) {
    const names = `${offered.slice(0, -1).join(', ')} or ${offered.at(-1)}`;
    return reply(504, '5.5.4', `Authentication mechanism is not supported: use ${names}`);
  }
  const { asked, step } = FIRST[name];
  return initial === undefined ? next(session, asked, step) : step(session, initial);
};

type TokenMechanism = Exclude<Mechanism, 'PLAIN' | 'LOGIN'>;
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
  return credentials === undefined ? BAD_CREDENTIALS : byPassword(session, 'PLAIN', credentials);
};

const loginUser: Step = (session, response) => {
  const name = decodeBase64(response);
  if (name === undefined) return NOT_BASE64;
  const user = userName(name);
  if (user === undefined) return BAD_CREDENTIALS;
  return next(session, PASSWORD, (_, secret) => {
    const password = decodeBase64(secret);
    return password === undefined ? NOT_BASE64 : byPassword(session, 'LOGIN', { user, password });
  });
};

const bearer =
  (mechanism: TokenMechanism): Step =>
  (session, response) => {
    const message = decodeBase64(response);
    if (message === undefined) return NOT_BASE64;
    const given = mechanism === 'OAUTHBEARER' ? parseOauthBearer(message) : parseXoauth2(message);
    if (given === undefined) return BAD_CREDENTIALS;
    if (given.token === '') return tokenFailed(session, INVALID_TOKEN);
    return byToken(session, mechanism, given);
  };

/** The challenge to a client without an initial response, and what takes its answer. */
const FIRST: Record<Mechanism, { asked: Reply; step: Step }> = {
  PLAIN: { asked: challenge(''), step: plain },
  LOGIN: { asked: USERNAME, step: loginUser },
  OAUTHBEARER: { asked: challenge(''), step: bearer('OAUTHBEARER') },
  XOAUTH2: { asked: challenge(''), step: bearer('XOAUTH2') },
};

function byPassword(
  session: AuthSession,
  mechanism: 'PLAIN' | 'LOGIN',
  { password, ...names }: Credentials,
): Promise<CommandResult> {
  session.log.tries(names.user);
  const ask = session.deps.policy['user-authenticate'];
  return settle(session, ask({ facts: session.facts, mechanism, ...names }, { bytes: password }));
}

function byToken(session: AuthSession, mechanism: TokenMechanism, { user, token }: Bearer): Promise<CommandResult> {
  if (user !== undefined) session.log.tries(user);
  const ask = session.deps.policy['token-authenticate'];
  const call = ask({ facts: session.facts, mechanism, user }, { bytes: Buffer.from(token) });
  return settle(session, call, (refusal) => tokenFailed(session, refusal));
}

/** Put the verdict of policy into effect, which logs it (DOMINO A3) because it knows why. `rejected` refuses for good. */
async function settle(
  session: AuthSession,
  call: Promise<AuthenticateVerdict>,
  rejected: (refusal: Reply) => Reply = (refusal) => countFailure(session, refusal),
): Promise<CommandResult> {
  const verdict = await verdictOf(call, session.log);
  if (verdict.action === 'accept') {
    session.authenticated(verdict.user);
    return reply(235, '2.7.0', 'Authentication succeeded');
  }
  const told = 'delayMs' in verdict ? verdict.delayMs : undefined;
  const delayMs = told ?? (verdict.action === 'reject' ? FAILURE_DELAY_MS : undefined);
  if (delayMs === undefined) return verdict.reply;
  await delay(delayMs, undefined, { ref: false });
  return verdict.action === 'reject' ? rejected(verdict.reply) : countFailure(session, verdict.reply);
}

function countFailure(session: AuthSession, refusal: Reply): Reply {
  session.failedLogins++;
  return refusal;
}

/**
 * RFC 7628 §3.2.2, §3.2.3: a challenge says in JSON what is needed, the client answers it with something meaningless, and
 * then the exchange fails. XOAUTH2 does the same, and wants the name of the scheme.
 */
function tokenFailed(session: AuthSession, refusal: Reply): Reply {
  const [provider, ...others] = session.providers;
  const scope = provider?.scopes.join(' ');
  const known = others.length === 0 && provider !== undefined;
  const full = {
    status: 'invalid_token',
    schemes: 'bearer',
    ...(known && scope !== '' && { scope }),
    ...(known && { 'openid-configuration': `${provider.issuer.replace(/\/$/, '')}/.well-known/openid-configuration` }),
  };
  session.continuation = (response) => countFailure(session, response === '*' ? CANCELLED : refusal);
  const text = (json: object): string => Buffer.from(JSON.stringify(json)).toString('base64');
  // A reply line has 512 octets (RFC 5321 §4.5.3.1.5).
  return challenge(text(full).length <= 480 ? text(full) : text({ status: full.status }));
}
