import type { Logger } from '#shared/log.ts';
import { formatReply, isIntermediate, isPositive, type Reply, reply } from '#shared/reply.ts';
import type { Secret } from '#shared/secret.ts';
import type { Connection } from './connection.ts';
import { HostUnusable } from './errors.ts';
import type { Extensions } from './extensions.ts';

/**
 * AUTH at a smart host (RFC 4954). A login that fails is a fault of this machine's configuration, not of a message:
 * mail waits, whatever code the host answers. Rejects with `HostUnusable`.
 */
export async function authenticate(
  connection: Connection,
  offered: Extensions['auth'],
  credentials: { user: string; password: Secret },
  { timeoutMs, log }: { timeoutMs: number; log: Logger },
): Promise<void> {
  const mechanism = offered.has('PLAIN') ? 'PLAIN' : offered.has('LOGIN') ? 'LOGIN' : undefined;
  if (mechanism === undefined) {
    const offer = offered.size === 0 ? 'no AUTH' : `only AUTH ${[...offered].join(' ')}`;
    const text = `the route has a user and password, but ${connection.peer} offers ${offer}; PLAIN or LOGIN is needed`;
    throw new HostUnusable(connection.peer, reply(454, '4.7.0', text), true);
  }
  const say = async (line: string): Promise<Reply> =>
    (await connection.command(`${line}\r\n`, `AUTH ${mechanism}`, timeoutMs)).reply;
  const { user } = credentials;
  const password = credentials.password.reveal();
  const lines =
    mechanism === 'PLAIN'
      ? [`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`]
      : ['AUTH LOGIN', base64(user), base64(password)];
  let answer: Reply = reply(334, '2.0.0', '');
  for (const line of lines) {
    if (!isIntermediate(answer)) break;
    answer = await say(line);
  }
  if (isPositive(answer)) return;
  log.error(
    { peer: connection.peer, user, reply: formatReply(answer) },
    'login at the smart host failed: check user and password of the route',
  );
  throw new HostUnusable(connection.peer, answer, true);
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
