import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { defer, goOn } from '../verdict.ts';

/** The reverse-path of mail that originates here, by the canonical maps (rewrite/rewriting.ts). */
export const canonicalSender: PolicyCheck<'sender'> = (facts, accepted) => {
  const { session, reversePath, rewriting, rules, directory } = facts;
  if (reversePath === '' || !rewriting.rewrites('envelope-sender')) return goOn();
  if (session.user === undefined && rules.trustedHost(session) === undefined) return goOn();
  const canonical = rewriting.canonical(reversePath, 'envelope-sender', directory);
  if (canonical === undefined) return mapsUnread('Sender');
  if (canonical === reversePath) return goOn();
  return goOn([`reverse-path becomes ${printable(canonical)}`], { ...accepted, reversePath: canonical });
};

/** `whose`: of what the address is, for the client. */
export function mapsUnread(whose: string) {
  const why = ['the directory, which has the maps of addresses, cannot be read'];
  return defer(451, '4.3.0', `${whose} address cannot be looked up now, please try again later`, why);
}
