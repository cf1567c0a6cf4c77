import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { receivedField } from './received.ts';

/** The Received field of this server (RFC 5321 §4.4) comes before all others. */
export const traceField: PolicyCheck<'message'> = (facts, accepted) => {
  const recipients = facts.limits['for-recipients'] === 0 ? [] : facts.recipients;
  return goOn([], { ...accepted, prepend: [receivedField({ ...facts, recipients }), ...accepted.prepend] });
};
