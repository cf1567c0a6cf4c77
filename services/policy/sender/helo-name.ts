import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn, refuseStranger, reject } from '../verdict.ts';

/** What is said of a name in EHLO or HELO that `checks.helo.refuse` refuses. */
const TEXTS = {
  'bare-address': 'is an address without brackets',
  'own-name': 'is a name or an address of this server',
  syntax: 'is not a host name',
  'not-fqdn': 'is not a fully qualified host name',
} as const;

/**
 * The name that the client gave in EHLO or HELO (`checks.helo`). RFC 5321 §4.1.4 forbids to refuse a name for not leading to
 * the client's address, which is not looked at. Asked at MAIL, when it is known whether the client is a user.
 */
export const heloName: PolicyCheck<'sender'> = ({ session, helo, nameMatters }) => {
  if (helo === undefined) return goOn();
  if ('exempt' in helo) return goOn([`name in ${session.greeting ?? 'EHLO'} is not checked: ${helo.exempt}`]);
  const name = printable(session.client.helo, 100);
  if (helo.fault === undefined) return goOn([`${name} may stand in ${session.greeting ?? 'EHLO'}`]);
  const what = `${name} ${TEXTS[helo.fault]}`;
  const text = `${session.greeting ?? 'EHLO'} refused: ${what}`;
  return refuseStranger(nameMatters, reject(550, '5.7.1', text, [`${what} (checks.helo.refuse)`]));
};
