import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Where no check before it knows where the mail goes, it goes to the address that RCPT named. */
export const asNamed: PolicyCheck<'recipient'> = (facts, accepted) =>
  goOn([], accepted ?? { recipients: recipientsAt([facts.address], facts) });

/**
 * The recipients that RCPT stands for. DSN parameters go with each of them (RFC 3461 §5.2.7.2); success is reported of the
 * address itself where there are several (§5.2.7.3 (c)).
 */
export function recipientsAt(
  addresses: readonly string[],
  { named, recipient }: PolicyFacts['recipient'],
): EnvelopeRecipient[] {
  const original = recipient.original ?? named;
  const list = addresses.length > 1 && recipient.notify?.includes('SUCCESS') === true;
  return addresses.map((address) => {
    if (list) return { ...recipient, address, original, list: 'expanded' };
    return address === named ? { ...recipient, address } : { ...recipient, address, original };
  });
}
