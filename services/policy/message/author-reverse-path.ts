import { domainOf, needsSmtpUtf8 } from '#shared/address/address.ts';
import { authorsOf } from '#shared/address/authors.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { splitHeader } from '#shared/mail/header.ts';
import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/**
 * `rewrite.reverse-path: from`: the reverse-path of mail that originates here is its author, as the header names the author
 * in the end. Only a single author in a domain of ours: bounces for the others would go to strangers. The null reverse-path
 * stays, because a notification must cause no other (RFC 5321 §4.5.5).
 */
export const authorReversePath: PolicyCheck<'message'> = (facts, accepted) => {
  const { rewriting, reversePath, fields, smtpUtf8 } = facts;
  if (!rewriting.reversePathFrom || !accepted.originating || reversePath === '') return goOn();
  const from =
    accepted.header === undefined
      ? fields.get('from')?.[0]
      : splitHeader(accepted.header).find((field) => field.name === 'from');
  const { addresses, problem } = from === undefined ? { addresses: [], problem: 'no From' } : authorsOf(from);
  const [author, ...more] = addresses.map(canonicalAddress);
  const isSingle = problem === undefined && author !== undefined && more.length === 0;
  // RFC 6531 §3.4: such an address may stand in MAIL only where the client declared SMTPUTF8.
  if (!isSingle || !rewriting.isOwn(domainOf(author)) || (needsSmtpUtf8(author) && !smtpUtf8)) {
    return goOn(['reverse-path stays: From is not a single address of a domain of ours']);
  }
  if (author === canonicalAddress(reversePath)) return goOn();
  return goOn([`reverse-path becomes the author, ${printable(author)}`], { ...accepted, reversePath: author });
};
