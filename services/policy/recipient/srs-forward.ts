import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { srsWithoutKey } from './srs-return.ts';

/**
 * Mail of another domain for an address of ours that leads elsewhere gets a reverse-path of SRS on that way
 * (rewrite/srs.ts): the receiver would find that the sender's SPF record does not name this server. Not the mail of our own
 * domains, and no notification (RFC 5321 §4.5.5).
 */
export const srsForward: PolicyCheck<'recipient'> = (facts, accepted) => {
  const { rewriting, srs, reversePath, named, now } = facts;
  if (rewriting.srsDomain === undefined || accepted === undefined || reversePath === '') return goOn();
  const isOwn = (address: string): boolean => rewriting.isOwn(domainOf(canonicalAddress(address)));
  const isForward = ({ address, original, reversePath: path }: (typeof accepted.recipients)[number]): boolean =>
    original !== undefined && path === undefined && !isOwn(address);
  if (!isOwn(named) || isOwn(reversePath) || !accepted.recipients.some(isForward)) return goOn();
  if (srs === undefined) return srsWithoutKey();
  const path = srs.forward(reversePath, now);
  if (path === undefined)
    return goOn([`there is no SRS address for ${printable(reversePath)}: it stays the reverse-path`]);
  const recipients = accepted.recipients.map((r) => (isForward(r) ? { ...r, reversePath: path } : r));
  return goOn([`recipients elsewhere get the reverse-path ${printable(path)}`], { recipients });
};
