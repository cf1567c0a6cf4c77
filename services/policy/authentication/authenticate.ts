import { decoyHash, verifyPassword } from '#cluster/config/users/password.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import type { SessionFacts } from '../contract.ts';
import type { Directory } from '../directory/directory.ts';
import { defer, reject } from '../verdict.ts';
import type { ConcurrencyLimit } from './concurrency-limit.ts';

type Request = { facts: SessionFacts; mechanism: string; user: string };
/** What `authenticate` needs. `directory`: undefined where the users file could not be read; null: none is set. */
export type Authentication = { directory: Directory | undefined | null; limit: ConcurrencyLimit; log: Logger };

const DECOY = decoyHash();

/** AUTH PLAIN and LOGIN (RFC 4954) against the users file. Whoever does not exist costs what a wrong password costs. */
export async function authenticate(request: Request, password: Uint8Array, deps: Authentication) {
  const { directory, limit } = deps;
  const log = deps.log.child(describe(request));
  if (directory === undefined) {
    log.warn('Authentication failed: the users file cannot be read');
    return temporary('the users file cannot be read');
  }
  const user = directory?.user(request.user);
  let right: boolean;
  try {
    right = await limit.run(() => verifyPassword(user?.password ?? DECOY, password));
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.busy) throw error;
    log.warn('Authentication failed: too many at once');
    return temporary('too many authentications at once');
  }
  if (user !== undefined && right) {
    log.info('Authentication succeeded');
    return { action: 'accept' as const, user: user.name, why: [`user ${user.name}: password is right`] };
  }
  const reason =
    user !== undefined ? 'wrong password' : directory === null ? 'no users file is configured' : 'unknown user';
  log.info({ reason }, 'Authentication failed');
  // RFC 4954 §6: the reply does not tell which of the two was wrong.
  return reject(535, '5.7.8', 'Authentication credentials invalid', [`user ${printable(request.user)}: ${reason}`]);
}

/** RFC 4954 §6: 454 4.7.0 Temporary authentication failure. */
function temporary(reason: string) {
  return defer(454, '4.7.0', 'Temporary authentication failure', [reason]);
}

/** The facts of the log line (DOMINO A3): the user and the connecting host. */
function describe({ facts, mechanism, user }: Request) {
  const { session, listener, client, tls } = facts;
  return {
    session,
    listener,
    user: printable(user),
    peer: client.address,
    host: client.name,
    mechanism,
    tls: tls?.protocol,
  };
}
