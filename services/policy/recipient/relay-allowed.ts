import type { PolicyCheck } from '../facts.ts';
import { defer, goOn, NAME_UNKNOWN, reject } from '../verdict.ts';

/** A recipient of a domain that is not local: may this client relay to it (DOMINO R6)? */
export const relayAllowed: PolicyCheck<'recipient'> = ({ session, domain, ours, namedOurs, rules }, accepted) => {
  if (accepted !== undefined) return goOn();
  if (ours) return goOn([`${domain} is local`]);
  if (namedOurs) return goOn(['an address of a local domain, which rewriting leads elsewhere']);
  const why = [`${domain} is not local`];
  if (rules.mayRelay(session, domain, why)) return goOn(why);
  if (session.nameFailed && rules.nameCouldAllow(session, domain)) {
    why.push('the name of the client could not be looked up, and the relay rules look at names');
    return defer(451, '4.4.3', NAME_UNKNOWN, why);
  }
  return reject(554, '5.7.1', 'Relay rejected for policy reasons', why);
};
