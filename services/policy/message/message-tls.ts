import { authorsOf } from '#shared/address/authors.ts';
import { fieldValue } from '#shared/mail/header.ts';
import { describeMessageTls, type MessageTls } from '#shared/mail/message-tls.ts';
import type { Accepted, PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { headerSoFar } from './header.ts';
import { isSubmitted } from './submission-fields.ts';

/**
 * What the message asks of TLS on its way. Marks and senders of `delivery.forced-tls` count in mail that a user or a host
 * of ours hands in: with a mark, anybody else could have mail returned to whom he likes. That TLS is not needed (RFC 8689
 * §3) may be said of any mail.
 */
export const messageTls: PolicyCheck<'message'> = (facts, accepted) => {
  const tls = forcedBy(facts, accepted) ?? renouncedIn(facts);
  return tls === undefined ? goOn() : goOn([`asks for ${describeMessageTls(tls)}`], { ...accepted, tls });
};

function forcedBy(facts: PolicyFacts['message'], accepted: Accepted['message']): MessageTls | undefined {
  const { session, reversePath, forcedTls, rewriting } = facts;
  if (forcedTls.isOff || (!accepted.originating && !isSubmitted(session))) return undefined;
  const { fields } = headerSoFar(facts, accepted);
  const authors = fields.filter(({ name }) => name === 'from').flatMap((from) => authorsOf(from).addresses);
  const senders = [reversePath, accepted.reversePath ?? '', ...authors].filter((address) => address !== '');
  return forcedTls.demandOf(senders, fields, rewriting.delimiter);
}

/** One field (§3); with several it is not known what was meant. */
function renouncedIn({ fields }: PolicyFacts['message']): MessageTls | undefined {
  const [field, ...more] = fields.get('tls-required') ?? [];
  if (field === undefined || more.length > 0 || fieldValue(field).toLowerCase() !== 'no') return undefined;
  return { level: 'optional', by: 'tls-required' };
}
