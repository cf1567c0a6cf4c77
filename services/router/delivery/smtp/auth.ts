import type { Logger } from '#shared/log.ts';
import { formatReply, isIntermediate, isPositive, type Reply, reply } from '#shared/mail/reply.ts';
import type { Secret } from '#shared/secret.ts';
import type { AccessTokens } from '../access-tokens.ts';
import { Unreachable } from '../channel.ts';
import type { Connection } from './connection.ts';
import { HostUnusable } from './errors.ts';
import type { Extensions } from './extensions.ts';

/** Who logs in, and with what: a password, or the access token of the route. */
export type Credentials = { user: string; password: Secret } | { user: string; tokens: AccessTokens };

/** The mechanisms that we know, in the order in which they are tried. */
const WITH_PASSWORD = ['PLAIN', 'LOGIN'] as const;
const WITH_TOKEN = ['XOAUTH2', 'OAUTHBEARER'] as const;
type Mechanism = (typeof WITH_PASSWORD | typeof WITH_TOKEN)[number];

/** Octets of a command line with its CRLF (RFC 5321 §4.5.3.1.4). */
const LONGEST_COMMAND = 512;

/**
 * AUTH at a smart host (RFC 4954). A login that fails is a fault of this machine's configuration, not of a message:
 * mail waits, whatever code the host answers. Rejects with `HostUnusable`.
 *
 * A token that the host refuses (535) may have been revoked before its end: then another one is tried, once.
 */
export async function authenticate(
  connection: Connection,
  offered: Extensions['auth'],
  credentials: Credentials,
  { timeoutMs, log }: { timeoutMs: number; log: Logger },
): Promise<void> {
  const { peer } = connection;
  const answer =
    'tokens' in credentials
      ? await byToken(connection, offered, credentials, timeoutMs)
      : await byPassword(connection, offered, credentials, timeoutMs);
  if (isPositive(answer)) return;
  const check = 'tokens' in credentials ? 'user and oauth' : 'user and password';
  log.error(
    { peer, user: credentials.user, reply: formatReply(answer) },
    `login at the smart host failed: check ${check} of the route`,
  );
  throw new HostUnusable(peer, answer, true);
}

function byPassword(
  connection: Connection,
  offered: Extensions['auth'],
  { user, password }: { user: string; password: Secret },
  timeoutMs: number,
): Promise<Reply> {
  const usable = usableOf(WITH_PASSWORD, offered, 'a user and password', connection.peer);
  return tryEach(usable, (mechanism) => {
    const secret = password.reveal();
    const messages = mechanism === 'PLAIN' ? [`\0${user}\0${secret}`] : [user, secret];
    // LOGIN has no initial response.
    const command = mechanism === 'PLAIN' ? [`AUTH PLAIN ${base64(messages.shift() ?? '')}`] : ['AUTH LOGIN'];
    return exchange(connection, mechanism, [...command, ...messages.map(base64)], timeoutMs);
  });
}

async function byToken(
  connection: Connection,
  offered: Extensions['auth'],
  { user, tokens }: { user: string; tokens: AccessTokens },
  timeoutMs: number,
): Promise<Reply> {
  const usable = usableOf(WITH_TOKEN, offered, 'a user and oauth', connection.peer);
  const logIn = (token: Secret): Promise<Reply> =>
    tryEach(usable, (mechanism) => sendToken(connection, mechanism, { user, token }, timeoutMs));
  const token = await tokenOr(connection, tokens.current());
  const answer = await logIn(token.value);
  if (answer.code !== 535) return answer;
  const other = await tokenOr(connection, tokens.another(token));
  return other === undefined ? answer : logIn(other.value);
}

/** Without a token there is nothing to say to this host, or to another. */
async function tokenOr<T>(connection: Connection, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Unreachable) throw new HostUnusable(connection.peer, error.reply, true);
    throw error;
  }
}

/** XOAUTH2, and the same as RFC 7628 §3.1 has it. After a refusal with a challenge a response without meaning follows. */
function sendToken(
  connection: Connection,
  mechanism: (typeof WITH_TOKEN)[number],
  { user, token }: { user: string; token: Secret },
  timeoutMs: number,
): Promise<Reply> {
  const isX = mechanism === 'XOAUTH2';
  const name = isX ? `user=${user}` : `n,a=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},`;
  const message = base64(`${name}\x01auth=Bearer ${token.reveal()}\x01\x01`);
  const whole = `AUTH ${mechanism} ${message}`;
  // RFC 4954 §4: an initial response that would not fit a command is sent as a response.
  const lines = whole.length + 2 <= LONGEST_COMMAND ? [whole] : [`AUTH ${mechanism}`, message];
  return exchange(connection, mechanism, [...lines, isX ? '' : base64('\x01')], timeoutMs);
}

function usableOf<M extends Mechanism>(
  known: readonly M[],
  offered: Extensions['auth'],
  has: string,
  peer: string,
): readonly M[] {
  const usable = known.filter((mechanism) => offered.has(mechanism));
  if (usable.length > 0) return usable;
  const offer = offered.size === 0 ? 'no AUTH' : `only AUTH ${[...offered].join(' ')}`;
  const text = `the route has ${has}, but ${peer} offers ${offer}; ${known.join(' or ')} is needed`;
  throw new HostUnusable(peer, reply(454, '4.7.0', text), true);
}

/** RFC 4954 §4: 504 is a mechanism that the host does not know, although it may have offered it. */
async function tryEach<M>(mechanisms: readonly M[], logIn: (mechanism: M) => Promise<Reply>): Promise<Reply> {
  let answer: Reply = reply(504, '5.5.4', '');
  for (const mechanism of mechanisms) {
    answer = await logIn(mechanism);
    if (answer.code !== 504) break;
  }
  return answer;
}

/** Send lines as long as the host asks for them; its last answer. */
async function exchange(
  connection: Connection,
  mechanism: Mechanism,
  lines: readonly string[],
  timeoutMs: number,
): Promise<Reply> {
  let answer: Reply = reply(334, '2.0.0', '');
  for (const line of lines) {
    if (!isIntermediate(answer)) break;
    answer = (await connection.command(`${line}\r\n`, `AUTH ${mechanism}`, timeoutMs)).reply;
  }
  return isIntermediate(answer) ? reply(454, '4.7.0', `the host asks for more than AUTH ${mechanism} has`) : answer;
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
