import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn, refuseStranger, reject } from '../verdict.ts';

/** Local parts by which a sender tells a mail system how to send the mail on (DOMINO R8). */

/** An unquoted @ in the local part is a source route (RFC 5321 appendix C), which nobody needs any more. */
export const sourceRoute: PolicyCheck<'recipient'> = ({ local }) =>
  !local.startsWith('"') && local.includes('@') ? refuseRoute() : goOn();

/**
 * A route in the local part of an address that the mail goes to as it was written; users and trusted hosts may write one.
 * A mailbox or alias of the directory is known, whatever its name looks like.
 */
export const routedLocalPart: PolicyCheck<'recipient'> = (facts, accepted) =>
  accepted === undefined && holdsRoute(facts.local) && !mayRoute(facts) ? refuseRoute(facts) : goOn();

/**
 * Whether a mail system that the mail goes to may read a local part as an order to send it on: percent hack, bang path, a
 * whole address in quotes, a path of X.400 or of files.
 */
export function holdsRoute(local: string): boolean {
  return /[%!@]|^"?\//.test(local);
}

export function mayRoute({ session, rules }: PolicyFacts['recipient']): boolean {
  return rules.exempts(session.user) || rules.trustedHost(session) !== undefined;
}

/** `nameMatters`: a client whose name is not known might be one that may write a route. */
export function refuseRoute({ nameMatters }: Pick<PolicyFacts['recipient'], 'nameMatters'> = {}) {
  const why = ['the local part holds a route: relay refused'];
  return refuseStranger(nameMatters, reject(550, '5.7.1', 'Sender-specified routing is not accepted', why));
}
