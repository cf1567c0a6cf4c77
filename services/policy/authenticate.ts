import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import type { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import { whatIsWrong } from './authentication/credentials.ts';
import { scopeText } from './authentication/failure-counts.ts';
import { type Failures, type LogIn, logInOf } from './authentication/failures.ts';
import type { FairQueue } from './authentication/fair-queue.ts';
import type { Tokens, TokenVerdict } from './authentication/tokens.ts';
import { decide } from './checks.ts';
import type { AuthenticateVerdict, SessionFacts } from './contract.ts';
import type { Verified } from './directory/account.ts';
import type { AskDirectory } from './directory/directory.ts';
import { verifyNobody } from './directory/passwords.ts';
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

/**
 * AUTH PLAIN and LOGIN: check the password, decide, and log the outcome (DOMINO A3). After too many failures the password is
 * not looked at; else its hash is computed when its turn comes, which costs the same whether there is such a user or not.
 */
export async function authenticate(
  request: Request,
  password: Uint8Array,
  deps: AuthenticateDeps,
): Promise<AuthenticateVerdict> {
  const { user, actAs } = request;
  const typed = logInTo(request, user);
  // Nor is a directory asked: strangers could keep it busy.
  if (deps.failures.tooMany(typed) !== undefined) {
    const unasked = { account: undefined, block: undefined, directory: undefined };
    return conclude({ user, actAs, ...unasked, password: 'locked' }, request, deps);
  }
  const directory = await deps.ask({ users: [user] });
  const account = directory?.user(user);
  const block = directory?.block(user);
  // Nothing can be guessed: no hash is computed, and it counts for no limit.
  if (block !== undefined) {
    return conclude({ user, actAs, account, block, password: 'unchecked', directory }, request, deps);
  }
  // One who has several names is one user for the limits.
  const logIn = logInTo(request, account?.name ?? user);
  const verify = account?.verify ?? verifyNobody;
  const check = () => verify(password, logIn.network === undefined ? undefined : request.facts.client.address);
  const checked: Checked = directory === undefined ? { outcome: 'unchecked' } : await checkInTurn(logIn, check, deps);
  const { outcome, reason, appPassword } = checked;
  if (outcome === 'right' && typed.user !== logIn.user) deps.failures.succeeded(typed);
  const found = { user, actAs, account, block, password: outcome, reason, directory };
  return conclude(found, { ...request, appPassword }, deps);
}

/** The verdict on a user who gives the right password. None is looked at, and nothing is counted. */
export async function explainLogIn(
  { facts, user }: Pick<Request, 'facts' | 'user'>,
  { ask, failures }: Pick<AuthenticateDeps, 'ask' | 'failures'>,
): Promise<AuthenticateVerdict> {
  const directory = await ask({ users: [user] });
  const account = directory?.user(user);
  const locked = failures.tooMany(logInOf(account?.name ?? user, facts.client.address, facts.gateway)) !== undefined;
  const given = account === undefined ? 'wrong' : 'right';
  const password = locked ? 'locked' : directory === undefined ? 'unchecked' : given;
  const found = { user, actAs: undefined, account, block: directory?.block(user), password, directory } as const;
  const verdict = decide('authenticate', found);
  return verdict.action === 'accept' ? verdict : { ...verdict, delayMs: 0 };
}

type Checked = { outcome: Verified['outcome'] | 'locked'; reason?: string; appPassword?: string };

async function checkInTurn(logIn: LogIn, check: () => Promise<Verified>, deps: AuthenticateDeps): Promise<Checked> {
  const { failures, queue } = deps;
  try {
    return await queue.run({ network: logIn.network ?? '', known: failures.known(logIn) }, async () => {
      // Those that were checked while this one waited have counted.
      if (failures.tooMany(logIn) !== undefined) return { outcome: 'locked' };
      const checked = await check();
      if (checked.outcome === 'right') failures.succeeded(logIn);
      if (checked.outcome === 'wrong') noteFailure(logIn, deps);
      return checked;
    });
  } catch (error) {
    if (errorCode(error) !== CALL_ERRORS.busy) throw error;
    return { outcome: 'unchecked', reason: 'too many concurrent authentications' };
  }
}

function noteFailure(logIn: LogIn, { failures, log, strangers }: AuthenticateDeps): void {
  failures.failed(logIn);
  const locked = failures.tooMany(logIn);
  if (locked === undefined) return;
  const { user, network } = locked;
  strangers.say(`lock ${scopeText(locked)}`, (repeated) => {
    const fields = { user: user && printable(user), network, ...repeated };
    log.warn(fields, 'Authentication locked after too many failures: see "sealpost locks list"');
  });
}

/**
 * AUTH OAUTHBEARER and XOAUTH2: the token says who the user is, and what the client calls itself must be the same. A token
 * cannot be guessed, so no turn is waited for: to check one takes a fraction of a millisecond. It counts as a failure of the
 * user it names, unless it was right and has expired: the client will come back with a new one.
 */
export async function authenticateByToken(
  request: Request,
  bytes: Uint8Array,
  deps: AuthenticateDeps & { tokens: Tokens },
): Promise<AuthenticateVerdict> {
  const { failures, ask } = deps;
  const token = deps.tokens.read(bytes);
  const user = token.user === '' ? request.user : token.user;
  const actAs = request.user === '' ? undefined : request.user;
  const logIn = logInTo(request, user);
  const isLocked = failures.tooMany(logIn) !== undefined;
  const verdict: TokenVerdict | { state: 'locked' } = isLocked ? { state: 'locked' } : await token.check();
  // Strangers cannot make us ask a directory about anybody.
  const directory = await ask({ users: verdict.state === 'right' ? [user] : [] });
  const account = verdict.state === 'right' ? directory?.user(user) : undefined;
  const block = verdict.state === 'right' ? directory?.block(user) : undefined;
  const reason = 'problem' in verdict ? verdict.problem : undefined;
  if (block !== undefined) {
    return conclude({ user, actAs, account, block, password: 'right', byToken: true, directory }, request, deps);
  }
  if (verdict.state === 'right' && account !== undefined) failures.succeeded(logIn);
  else if (isFailure(verdict, directory) && user !== '') noteFailure(logIn, deps);
  const password = verdict.state === 'undecided' ? 'unchecked' : verdict.state;
  return conclude({ user, actAs, account, block, password, byToken: true, reason, directory }, request, deps);
}

/** Of a token that is right, where nobody has the name. One that has expired proves that its bearer had a right one. */
function isFailure(
  verdict: TokenVerdict | { state: 'locked' },
  directory: PolicyFacts['authenticate']['directory'],
): boolean {
  return verdict.state === 'right' ? directory !== undefined : verdict.state === 'wrong' && !verdict.expired;
}

/** Decide, and log the outcome. */
function conclude(
  facts: PolicyFacts['authenticate'],
  request: Request & { appPassword?: string | undefined },
  { failures, log, strangers }: AuthenticateDeps,
): AuthenticateVerdict {
  const verdict = decide('authenticate', facts);
  const logIn = logInTo(request, facts.account?.name ?? facts.user);
  const fields = { ...describe(request, facts.user), appPassword: request.appPassword };
  const network = logIn.network ?? fields.peer;
  if (verdict.action === 'accept') {
    log.info(fields, 'Authentication succeeded');
  } else if (facts.block !== undefined) {
    strangers.say(`blocked ${logIn.user} from ${network}`, (repeated) => {
      log.warn({ ...fields, reason: verdict.why.at(-1), ...repeated }, 'Authentication refused: the user is blocked');
    });
  } else if (facts.password === 'locked') {
    const failed = failures.tooMany(logIn);
    strangers.say(`log-in from ${network}`, (repeated) => {
      const error = failed === undefined ? undefined : `too many failures ${scopeText(failed)}`;
      log.warn({ ...fields, error, ...repeated }, 'Authentication refused without a look at the password');
    });
  } else if (verdict.action === 'defer') {
    const text = `Authentication failed: ${verdict.why.at(-1)}`;
    // Whoever sends tokens that cannot be checked now has proven nothing.
    if (facts.byToken) strangers.say(`token from ${network}`, (repeated) => log.warn({ ...fields, ...repeated }, text));
    else log.warn(fields, text);
  } else {
    log.info({ ...fields, reason: whatIsWrong(facts) }, 'Authentication failed');
  }
  if (verdict.action === 'accept' && request.appPassword !== undefined) {
    return { ...verdict, appPassword: request.appPassword };
  }
  if (verdict.action === 'accept' || (verdict.action === 'defer' && facts.password !== 'locked')) return verdict;
  return { ...verdict, delayMs: failures.delay(logIn) };
}

function logInTo({ facts }: Request, user: string): LogIn {
  return logInOf(user, facts.client.address, facts.gateway);
}

/** The user and the connecting host. */
function describe({ facts, mechanism }: Request, user: string) {
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
