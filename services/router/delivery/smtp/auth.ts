import type { Logger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/reply.ts';
import type { Secret } from '#shared/secret.ts';
import type { Connection } from './connection.ts';
import { HostUnusable } from './errors.ts';
import type { Extensions } from './extensions.ts';

/**
 * AUTH at a smart host (RFC 4954). A login that fails is trouble with this machine's configuration, not with anyone's
 * message: mail waits, whatever code the host answers.
 */
export async function authenticate(
  connection: Connection,
  peer: Extensions,
  credentials: { user: string; password: Secret },
  patience: number,
  log: Logger,
): Promise<void> {
  const mechanism = peer.auth.has('PLAIN') ? 'PLAIN' : peer.auth.has('LOGIN') ? 'LOGIN' : undefined;
  if (mechanism === undefined) {
    const offer = peer.auth.size === 0 ? 'no AUTH' : `only AUTH ${[...peer.auth].join(' ')}`;
    const text = `the route has a user and password, but ${connection.peer} offers ${offer}; PLAIN or LOGIN is needed`;
    throw new HostUnusable(connection.peer, reply(454, '4.7.0', text), true);
  }
  const say = async (line: string): Promise<Reply> =>
    (await connection.command(`${line}\r\n`, `AUTH ${mechanism}`, patience)).reply;
  const { user } = credentials;
  const password = credentials.password.reveal();
  const lines =
    mechanism === 'PLAIN'
      ? [`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`]
      : ['AUTH LOGIN', base64(user), base64(password)];
  let answer: Reply = reply(334, '2.0.0', '');
  for (const line of lines) {
    if (answer.code !== 334) break;
    answer = await say(line);
  }
  if (answer.code === 235) return;
  log.error(
    { peer: connection.peer, user, reply: answer },
    'login at the smart host failed: check user and password of the route',
  );
  throw new HostUnusable(connection.peer, answer, true);
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
