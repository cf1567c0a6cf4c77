import { decoyHash, verifyPassword } from '#cluster/config/users/password.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { whatIsWrong } from './authentication/credentials.ts';
import { type Failures, type LogIn, logInOf } from './authentication/failures.ts';
import type { FairQueue } from './authentication/fair-queue.ts';
import { decide } from './checks.ts';
import type { SessionFacts } from './contract.ts';
import type { PolicyFacts, PolicyVerdict } from './facts.ts';

type Request = { facts: SessionFacts; mechanism: string; user: string; actAs?: string | undefined };
type AuthenticateDeps = {
  directory: PolicyFacts['authenticate']['directory'];
  failures: Failures;
  queue: FairQueue;
  log: Logger;
  /** For what strangers can make us log at any rate. */
  strangers: LimitedLog;
};

/** Compared with where there is no such user: that must cost what a wrong password costs. */
const DECOY = decoyHash();

/**
 * AUTH PLAIN and LOGIN: check the password, decide, and log the outcome (DOMINO A3). After too many failures the password is
 * not looked at; else its hash is computed when its turn comes, which costs the same whether there is such a user or not.
 */
export async function authenticate(
  request: Request,
  password: Uint8Array,
  deps: AuthenticateDeps,
): Promise<PolicyVerdict<'authenticate'>> {
  const { directory, failures, log, strangers } = deps;
  const { user } = request;
  const account = directory?.user(user);
  const { client, gateway } = request.facts;
  const logIn = logInOf(user, client.address, gateway);
  const check = () => verifyPassword(account?.password ?? DECOY, password);
  const outcome = directory === undefined ? 'unchecked' : await checkInTurn(logIn, check, deps);
  const facts: PolicyFacts['authenticate'] = { user, actAs: request.actAs, account, password: outcome, directory };
  const verdict = decide('authenticate', facts);
  const fields = describe(request);
  if (verdict.action === 'accept') {
    log.info(fields, 'Authentication succeeded');
  } else if (outcome === 'locked') {
    const failed = failures.tooMany(logIn);
    strangers.say(`log-in from ${logIn.network ?? client.address}`, (repeated) => {
      const error = `too many failures ${failed ?? ''}`.trim();
      log.warn({ ...fields, error, ...repeated }, 'Authentication refused without a look at the password');
    });
  } else if (verdict.action === 'defer') {
    log.warn(fields, `Authentication failed: ${verdict.why.at(-1)}`);
  } else {
    log.info({ ...fields, reason: whatIsWrong(facts) }, 'Authentication failed');
  }
  return verdict;
}

async function checkInTurn(
  logIn: LogIn,
  check: () => Promise<boolean>,
  { failures, queue }: AuthenticateDeps,
): Promise<PolicyFacts['authenticate']['password']> {
  if (failures.tooMany(logIn) !== undefined) return 'locked';
  try {
    return await queue.run({ network: logIn.network ?? '', known: failures.known(logIn) }, async () => {
      // Those that were checked while this one waited have counted.
      if (failures.tooMany(logIn) !== undefined) return 'locked';
      const isRight = await check();
      if (isRight) failures.succeeded(logIn);
      else failures.failed(logIn);
      return isRight ? 'right' : 'wrong';
    });
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
