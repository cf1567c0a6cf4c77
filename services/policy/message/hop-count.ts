import type { PolicyCheck } from '../facts.ts';
import { goOn, reject } from '../verdict.ts';

/** Each hop of a mail loop adds a Received field (RFC 5321 §6.3). */
export const hopCount: PolicyCheck<'message'> = ({ fields, limits }) => {
  const hops = fields.get('received')?.length ?? 0;
  const why = [`${hops} Received fields`];
  if (hops <= limits.hops) return goOn(why);
  why.push(`more than limits.hops (${limits.hops})`);
  return reject(554, '5.4.6', 'Routing loop detected: too many Received fields', why);
};
