import { printable } from '#shared/text.ts';
import type { PolicyCheck } from '../facts.ts';
import { mapsUnread } from '../sender/canonical-sender.ts';
import { goOn } from '../verdict.ts';

/** What canonical maps and domain aliases made of the recipient, before every check (gathering/recipient.ts). */
export const canonicalRecipient: PolicyCheck<'recipient'> = (facts) => {
  if (facts.mapsUnread) return mapsUnread('Recipient');
  const { named, address } = facts;
  return address === named ? goOn() : goOn([`recipient becomes ${printable(address)}`]);
};
