import { receivedSpf, authenticationResults as resultsField } from '#shared/mail/authenticity-fields.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** What was found comes above all other fields (RFC 8601 §5, RFC 7208 §9.1). */
export const authenticationResults: PolicyCheck<'message'> = (facts, accepted) => {
  const { authenticity } = accepted;
  if (authenticity === undefined) return goOn();
  const { session, reversePath, hostname, authservId } = facts;
  const fields = [
    resultsField(authservId, authenticity),
    receivedSpf(authenticity.spf, { client: session.client, reversePath, hostname }),
  ];
  return goOn([], { ...accepted, prepend: [...fields, ...accepted.prepend] });
};
