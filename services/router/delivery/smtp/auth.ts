import type { Logger } from '#shared/log.ts';
import { formatReply, isIntermediate, isPositive, type Reply, reply } from '#shared/reply.ts';
import type { Secret } from '#shared/secret.ts';
import type { Connection } from './connection.ts';
import { HostUnusable } from './errors.ts';
import type { Extensions } from './extensions.ts';

/** The mechanisms that we know, in the order in which they are tried. */
const MECHANISMS = ['PLAIN', 'LOGIN'] as const;
type Mechanism = (typeof MECHANISMS)[number];
type Credentials = { user: string; password: Secret };

/**
 * AUTH at a smart host (RFC 4954). A login that fails is a fault of this machine's configuration, not of a message:
 * mail waits, whatever code the host answers. Rejects with `HostUnusable`.
 */
export async function authenticate(
  connection: Connection,
  offered: Extensions['auth'],
  credentials: Credentials,
  { timeoutMs, log }: { timeoutMs: number; log: Logger },
): Promise<void> {
  const usable = MECHANISMS.filter((mechanism) => offered.has(mechanism));
  if (usable.length === 0) {
    const offer = offered.size === 0 ? 'no AUTH' : `only AUTH ${[...offered].join(' ')}`;
    const text = `the route has a user and password, but ${connection.peer} offers ${offer}; PLAIN or LOGIN is needed`;
    throw new HostUnusable(connection.peer, reply(454, '4.7.0', text), true);
  }
  let answer: Reply = reply(504, '5.5.4', '');
  for (const mechanism of usable) {
    answer = await logIn(connection, mechanism, credentials, timeoutMs);
    // §4: 504, a mechanism that the host does not know, although it may have offered it.
    if (answer.code !== 504) break;
  }
  if (isPositive(answer)) return;
  log.error(
    { peer: connection.peer, user: credentials.user, reply: formatReply(answer) },
    'login at the smart host failed: check user and password of the route',
  );
  throw new HostUnusable(connection.peer, answer, true);
}

/** The last answer to a login by one mechanism. */
async function logIn(
  connection: Connection,
  mechanism: Mechanism,
  { user, password }: Credentials,
  timeoutMs: number,
): Promise<Reply> {
  const secret = password.reveal();
  const lines =
    mechanism === 'PLAIN'
      ? [`AUTH PLAIN ${base64(`\0${user}\0${secret}`)}`]
      : ['AUTH LOGIN', base64(user), base64(secret)];
  let answer: Reply = reply(334, '2.0.0', '');
  for (const line of lines) {
    if (!isIntermediate(answer)) break;
    answer = (await connection.command(`${line}\r\n`, `AUTH ${mechanism}`, timeoutMs)).reply;
  }
  return answer;
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
