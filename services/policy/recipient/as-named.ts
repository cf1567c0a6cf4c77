import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Where no check before it knows where the mail goes, it goes to the address that RCPT named. */
export const asNamed: PolicyCheck<'recipient'> = (facts, accepted) =>
  goOn([], accepted ?? { recipients: recipientsAt([facts.address], facts) });

/** The recipients that RCPT stands for; DSN parameters go with each of them (RFC 3461 §5.2.7). */
export function recipientsAt(
  addresses: readonly string[],
  { named, recipient }: PolicyFacts['recipient'],
): EnvelopeRecipient[] {
  return addresses.map((address) =>
    address === named ? { ...recipient, address } : { ...recipient, address, original: recipient.original ?? named },
  );
}
