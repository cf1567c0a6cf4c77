import { messageTooLarge } from '../contract.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** The size that MAIL declares (RFC 1870 §6.1). */
export const declaredSize: PolicyCheck<'sender'> = ({ size, limits }) => {
  const limit = limits['message-size'];
  if (size === undefined || size <= limit) return goOn();
  const why = [`declared size ${size} is above limits.message-size (${limit})`];
  return { action: 'reject', reply: messageTooLarge(limit), why };
};
