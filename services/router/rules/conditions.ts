import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { nearest } from '#shared/address/domains.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';

/** Whether mail to a recipient is what the conditions of a rule say. Pure. */

/** What is known of a message when it is accepted. `ours`: it is from a user or host of ours. */
export type RuledMail = { reversePath: string; user: string | undefined; ours: boolean };

export type Condition = (mail: RuledMail, recipient: EnvelopeRecipient) => boolean;

type Conditions = Config['rules'][number]['when'];

/** `localDomains`: normalized. */
export function conditionOf(
  { from, to, address, user, direction }: Conditions,
  localDomains: ReadonlySet<string>,
): Condition {
  const all: Condition[] = [];
  if (user !== undefined) {
    const names = new Set(user.map(mailboxKey));
    all.push((mail) => mail.user !== undefined && (names.has('*') || names.has(mailboxKey(mail.user))));
  }
  if (direction !== undefined)
    all.push((mail, recipient) => directionOf(mail, recipient.address, localDomains) === direction);
  if (from !== undefined) {
    const isListed = mailboxes(from);
    all.push((mail) => isListed(mail.reversePath));
  }
  if (to !== undefined) {
    const isListed = mailboxes(to);
    all.push((_, recipient) => namesOf(recipient).some(isListed));
  }
  if (address !== undefined) {
    const isListed = mailboxes(address);
    all.push((mail, recipient) => isListed(mail.reversePath) || namesOf(recipient).some(isListed));
  }
  return (mail, recipient) => all.every((holds) => holds(mail, recipient));
}

function namesOf({ address, original }: EnvelopeRecipient): string[] {
  return original === undefined ? [address] : [address, original];
}

function directionOf({ ours }: RuledMail, address: string, localDomains: ReadonlySet<string>): Conditions['direction'] {
  if (!ours) return 'in';
  const domain = domainOf(address);
  // An address without a domain is the local <postmaster> (RFC 5321 §4.5.1).
  return domain === '' || localDomains.has(normalizeDomain(domain)) ? 'internal' : 'out';
}

/** Whether an address is in a list; the null reverse-path never is. */
function mailboxes(list: readonly string[]): (address: string) => boolean {
  const isAny = list.includes('*');
  const addresses = new Set(list.filter((one) => one.includes('@')).map((one) => mailboxKey(canonicalAddress(one))));
  const domains = new Set(list.filter((one) => !one.includes('@')));
  return (address) => {
    if (address === '') return false;
    if (isAny) return true;
    const canonical = canonicalAddress(address);
    if (addresses.has(mailboxKey(canonical))) return true;
    return nearest(normalizeDomain(domainOf(canonical)), (name) => domains.has(name) || undefined) === true;
  };
}
