import { messageTooLarge } from '../contract.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** The size that the message has in the end, whatever MAIL declared. */
export const messageSize: PolicyCheck<'message'> = ({ size, limits }) => {
  const limit = limits['message-size'];
  if (size <= limit) return goOn();
  const why = [`size ${size} is above limits.message-size (${limit})`];
  return { action: 'reject', reply: messageTooLarge(limit), why };
};
