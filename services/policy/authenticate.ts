import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { whatIsWrong } from './authentication/credentials.ts';
import { type Failures, type LogIn, logInOf } from './authentication/failures.ts';
import type { FairQueue } from './authentication/fair-queue.ts';
import { decide } from './checks.ts';
import type { AuthenticateVerdict, SessionFacts } from './contract.ts';
import type { Verified } from './directory/account.ts';
import type { AskDirectory } from './directory/directory.ts';
import { verifyHash } from './directory/file-entries.ts';
import type { PolicyFacts } from './facts.ts';

type Request = { facts: SessionFacts; mechanism: string; user: string; actAs?: string | undefined };
type AuthenticateDeps = {
  ask: AskDirectory;
  failures: Failures;
  queue: FairQueue;
  log: Logger;
  /** For what strangers can make us log at any rate. */
  strangers: LimitedLog;
};

/** Compared with where there is no such user: that must cost what a wrong password costs. */
const verifyNobody = verifyHash(undefined);

/**
 * AUTH PLAIN and LOGIN: check the password, decide, and log the outcome (DOMINO A3). After too many failures the password is
 * not looked at; else its hash is computed when its turn comes, which costs the same whether there is such a user or not.
 */
export async function authenticate(
  request: Request,
  password: Uint8Array,
  deps: AuthenticateDeps,
): Promise<AuthenticateVerdict> {
  const { failures, log, strangers } = deps;
  const { user, actAs } = request;
  const directory = await deps.ask({ users: actAs === undefined ? [user] : [user, actAs] });
  const account = directory?.user(user);
  const { client, gateway } = request.facts;
  const logIn = logInOf(user, client.address, gateway);
  const verify = account?.verify ?? verifyNobody;
  const check = () => verify(password, logIn.network === undefined ? undefined : client.address);
  const checked: Checked = directory === undefined ? { outcome: 'unchecked' } : await checkInTurn(logIn, check, deps);
  const { outcome, reason, appPassword } = checked;
  const facts: PolicyFacts['authenticate'] = { user, actAs, account, password: outcome, reason, directory };
  const verdict = decide('authenticate', facts);
  const fields = { ...describe(request), appPassword };
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
  if (verdict.action === 'accept' || (verdict.action === 'defer' && outcome !== 'locked')) return verdict;
  return { ...verdict, delayMs: failures.delay(logIn) };
}

type Checked = { outcome: Verified['outcome'] | 'locked'; reason?: string; appPassword?: string };

async function checkInTurn(
  logIn: LogIn,
  check: () => Promise<Verified>,
  { failures, queue }: AuthenticateDeps,
): Promise<Checked> {
  if (failures.tooMany(logIn) !== undefined) return { outcome: 'locked' };
  try {
    return await queue.run({ network: logIn.network ?? '', known: failures.known(logIn) }, async () => {
      // Those that were checked while this one waited have counted.
      if (failures.tooMany(logIn) !== undefined) return { outcome: 'locked' };
      const checked = await check();
      if (checked.outcome === 'right') failures.succeeded(logIn);
      if (checked.outcome === 'wrong') failures.failed(logIn);
      return checked;
    });
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.busy) throw error;
    return { outcome: 'unchecked', reason: 'too many concurrent authentications' };
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
