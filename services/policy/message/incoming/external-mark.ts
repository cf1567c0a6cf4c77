import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import type { PolicyCheck } from '../../facts.ts';
import { goOn } from '../../verdict.ts';
import { headerSoFar, tooLargeForBus } from '../header.ts';
import { isSubmitted } from '../submission-fields.ts';
import { tagged } from './subject-tag.ts';

const FIELD = 'X-Sealpost-External: yes\r\n';

/**
 * `authenticity.external` (DOMINO I9): mail from outside for a local domain says so, in a field or at the beginning of
 * Subject. The body stays as it is. A subject that is changed breaks the signatures of others: they were verified before,
 * and what is verified after must rely on Authentication-Results.
 */
export const externalMark: PolicyCheck<'message'> = (facts, accepted) => {
  const { session, incoming, rules, recipients } = facts;
  const { tag, field } = incoming.external;
  if ((tag === undefined && !field) || accepted.originating || isSubmitted(session)) return goOn();
  if (!recipients.some((address) => !address.includes('@') || rules.isLocal(domainOf(canonicalAddress(address)))))
    return goOn();
  const marked = field ? { ...accepted, prepend: [...accepted.prepend, FIELD] } : accepted;
  if (tag === undefined) return goOn(['marked as external'], marked);
  const { fields, rest } = headerSoFar(facts, accepted);
  const before = fields.map(({ raw }) => raw).join('');
  const after = withTag(fields, tag);
  if (after === before) return goOn(['from outside, with the tag in its subject already'], marked);
  const header = after + rest;
  if (tooLargeForBus(header, facts) !== undefined) return goOn(['from outside, and too large for a tag'], marked);
  return goOn(['from outside: subject tagged'], { ...marked, header });
};

/** The fields with the tag in every Subject, of which readers show one; in one of its own where there is none. */
function withTag(fields: readonly HeaderField[], tag: string): string {
  const raws = fields.map((field) => (field.name === 'subject' ? tagged(field, tag).raw : field.raw)).join('');
  const own = { name: 'subject', raw: 'Subject:\r\n' };
  return fields.some(({ name }) => name === 'subject') ? raws : tagged(own, tag).raw + raws;
}
