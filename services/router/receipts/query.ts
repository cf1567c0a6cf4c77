import { domainOf, isSameOrSubdomain, normalizeDomain } from '#shared/address/address.ts';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { addressesOf, addressTerm, domainTerm, messageIdTerm, type Searchable } from './terms.ts';

/** What of a search is in the index (terms.ts). Pure. */

/** The start of a term: of all terms of a kind, or `whole`. */
export type Wanted = { start: string; whole: boolean };

/** Conditions that a message must all meet; it meets one when one of its terms is wanted there. */
export function conditionsOf({ messageId, from, to, about }: MessageSearch): Wanted[][] {
  const conditions: Wanted[][] = [];
  if (messageId !== undefined) conditions.push([messageIdWanted(messageId)]);
  if (from !== undefined) conditions.push(partyWanted('f', from));
  if (to !== undefined) conditions.push(partyWanted('t', to));
  if (about !== undefined)
    conditions.push([...partyWanted('f', about), ...partyWanted('t', about), messageIdWanted(about)]);
  return conditions;
}

function messageIdWanted(messageId: string): Wanted {
  return { start: messageIdTerm(messageId), whole: true };
}

function partyWanted(kind: 'f' | 't', party: string): Wanted[] {
  if (party === '' || party.includes('@')) return [{ start: `${kind}${addressTerm(party)}`, whole: true }];
  const domain = `${kind}${domainTerm(party)}`;
  return [
    { start: `${domain}!`, whole: false },
    { start: `${domain}.`, whole: false },
  ];
}

/** Whether a recipient is one that the search names; of a search that names none, every one is. */
export function isAskedFor({ recipient }: Searchable['recipients'][number], { to, about }: MessageSearch): boolean {
  const party = to ?? about;
  if (party === undefined) return true;
  return addressesOf(recipient).some((address) =>
    party.includes('@')
      ? addressTerm(address) === addressTerm(party)
      : isSameOrSubdomain(normalizeDomain(domainOf(address)), normalizeDomain(party)),
  );
}
