import type { EnvelopeRecipient } from '#shared/envelope.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { accept } from '../verdict.ts';

/** Nothing stands against it and nothing leads elsewhere: the mail goes to the address that RCPT named. */
export const asNamed: PolicyCheck<'recipient'> = (facts) =>
  accept({ recipients: recipientsAt([facts.address], facts) });

/** The recipients that RCPT stands for; DSN parameters go with each of them (RFC 3461 §5.2.7). */
export function recipientsAt(
  addresses: readonly string[],
  { address: asked, recipient }: PolicyFacts['recipient'],
): EnvelopeRecipient[] {
  return addresses.map((address) =>
    address === asked ? { ...recipient, address } : { ...recipient, address, original: recipient.original ?? asked },
  );
}
