import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import { printable } from '#shared/text.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { BLOCKED, blockText, defer, goOn, reject } from '../verdict.ts';

/** The checks of AUTH (RFC 4954): a password or a token, against the directory. */

export const fewFailures: PolicyCheck<'authenticate'> = ({ password }) =>
  password === 'locked'
    ? defer(454, '4.7.0', 'Too many failed authentications, please try again later', ['too many failures'])
    : goOn();

export const directoryRead: PolicyCheck<'authenticate'> = ({ directory }) =>
  directory === undefined ? temporary('the directory cannot be read') : goOn();

/** Before the password counts: the reply does not tell whether it was right. */
export const notBlocked: PolicyCheck<'authenticate'> = ({ user, block }) =>
  block === undefined ? goOn() : { action: 'reject', reply: BLOCKED, why: [blockText(user, block)] };

export const passwordChecked: PolicyCheck<'authenticate'> = ({ password, reason }) =>
  password === 'unchecked' ? temporary(reason ?? 'the password cannot be checked now') : goOn();

export const credentials: PolicyCheck<'authenticate'> = (facts) => {
  const { user, account, password, byToken } = facts;
  if (account !== undefined && password === 'right' && isSame(facts)) {
    return goOn([`user ${account.name}: ${byToken ? 'token is valid' : 'password is right'}`], { user: account.name });
  }
  // RFC 4954 §6: the reply does not tell what was wrong.
  const why = [`user ${printable(user)}: ${whatIsWrong(facts)}`];
  return reject(535, '5.7.8', 'Authentication credentials invalid', why);
};

/** RFC 4616 §2: nobody acts as somebody else. Clients give an address of the user, or the name in another spelling. */
function isSame({ account, actAs, directory }: PolicyFacts['authenticate']): boolean {
  if (account === undefined || actAs === undefined) return account !== undefined;
  return userKey(actAs) === userKey(account.name) || directory?.permits(account.name, canonicalAddress(actAs)) === true;
}

export function whatIsWrong(facts: PolicyFacts['authenticate']): string {
  const { account, actAs, password, byToken, reason, directory } = facts;
  if (byToken && password === 'wrong') return reason ?? 'wrong token';
  if (account === undefined) return directory === null ? 'there are no users' : 'unknown user';
  return password === 'right' ? `not permitted to act as ${printable(actAs ?? '')}` : (reason ?? 'wrong password');
}

/** RFC 4954 §6: 454 4.7.0 Temporary authentication failure. */
function temporary(reason: string) {
  return defer(454, '4.7.0', 'Temporary authentication failure', [reason]);
}
