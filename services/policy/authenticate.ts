import { decoyHash, verifyPassword } from '#cluster/config/users/password.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import type { ConcurrencyLimit } from './authentication/concurrency-limit.ts';
import { whatIsWrong } from './authentication/credentials.ts';
import { decide } from './checks.ts';
import type { SessionFacts } from './contract.ts';
import type { PolicyFacts, PolicyVerdict } from './facts.ts';

type Request = { facts: SessionFacts; mechanism: string; user: string };
type AuthenticateDeps = { directory: PolicyFacts['authenticate']['directory']; limit: ConcurrencyLimit; log: Logger };

/** Compared with where there is no such user: that must cost what a wrong password costs. */
const DECOY = decoyHash();

/** AUTH PLAIN and LOGIN: check the password, decide, and log the outcome (DOMINO A3). */
export async function authenticate(
  request: Request,
  password: Uint8Array,
  { directory, limit, log }: AuthenticateDeps,
): Promise<PolicyVerdict<'authenticate'>> {
  const account = directory?.user(request.user);
  const check = () => verifyPassword(account?.password ?? DECOY, password);
  const outcome = directory === undefined ? 'unchecked' : await checkInTurn(limit, check);
  const facts: PolicyFacts['authenticate'] = { user: request.user, account, password: outcome, directory };
  const verdict = decide('authenticate', facts);
  const fields = describe(request);
  if (verdict.action === 'accept') log.info(fields, 'Authentication succeeded');
  else if (verdict.action === 'defer') log.warn(fields, `Authentication failed: ${verdict.why.at(-1)}`);
  else log.info({ ...fields, reason: whatIsWrong(facts) }, 'Authentication failed');
  return verdict;
}

async function checkInTurn(
  limit: ConcurrencyLimit,
  check: () => Promise<boolean>,
): Promise<PolicyFacts['authenticate']['password']> {
  try {
    return (await limit.run(check)) ? 'right' : 'wrong';
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.busy) throw error;
    return 'unchecked';
  }
}

/** The user and the connecting host. */
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
