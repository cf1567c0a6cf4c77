import { domainOf, isSameOrSubdomain, normalizeDomain } from '#shared/address/address.ts';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { addressesOf, addressTerm, domainTerm, messageIdTerm, type Searchable } from './terms.ts';

/** What of a search is in the index (terms.ts). Pure. */

/** Terms of which a message must have one. */
export type Condition = readonly string[];

/** Conditions that a message must all meet. */
export function conditionsOf({ messageId, from, to, about, domains }: MessageSearch): Condition[] {
  const conditions: Condition[] = [];
  if (messageId !== undefined) conditions.push([messageIdTerm(messageId)]);
  if (from !== undefined) conditions.push([partyTerm('f', from)]);
  if (to !== undefined) conditions.push([partyTerm('t', to)]);
  if (about !== undefined) conditions.push([partyTerm('f', about), partyTerm('t', about), messageIdTerm(about)]);
  if (domains !== undefined) conditions.push(domains.flatMap((name) => [domainTerm('f', name), domainTerm('t', name)]));
  return conditions;
}

function partyTerm(kind: 'f' | 't', party: string): string {
  return party === '' || party.includes('@') ? addressTerm(kind, party) : domainTerm(kind, party);
}

/** Whether an address is of one of the domains that a search is bounded to. Those below them are others. */
export function ownTest({ domains }: MessageSearch): (address: string) => boolean {
  if (domains === undefined) return () => true;
  const own = new Set(domains.map(normalizeDomain));
  return (address) => own.has(normalizeDomain(domainOf(address)));
}

/** Whether a recipient is one that the search names; of a search that names none, every one is. */
export function isAskedFor({ recipient }: Searchable['recipients'][number], { to, about }: MessageSearch): boolean {
  const party = to ?? about;
  if (party === undefined) return true;
  return addressesOf(recipient).some((address) =>
    party.includes('@')
      ? addressTerm('t', address) === addressTerm('t', party)
      : isSameOrSubdomain(normalizeDomain(domainOf(address)), normalizeDomain(party)),
  );
}
