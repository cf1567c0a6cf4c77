import type { Check } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { receivedField } from './received.ts';

/** The Received field of this server (RFC 5321 §4.4) comes before all others. */
export const traceField: Check<'message'> = (facts, accepted) =>
  goOn([], { ...accepted, prepend: [receivedField(facts), ...accepted.prepend] });
