import { domainOf, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';

/**
 * The terms by which a message is found:
 *
 *   f<local part>@<domain>   a reverse-path
 *   t<local part>@<domain>   a recipient, as it is delivered and as it was before
 *   f<domain>, t<domain>     its domain, and each one above that
 *   m<Message-ID>            without its angle brackets
 *
 * A local part is in lower case. What is longer than a bound is cut, when it is written and when it is asked for: then a
 * little more is found than was asked for.
 */

/** What of a message can be searched for. Receipts and messages of the queue have it alike. */
export type Searchable = {
  reversePath: string;
  messageId?: string | undefined;
  recipients: readonly { recipient: Pick<EnvelopeRecipient, 'address' | 'original' | 'orcpt' | 'reversePath'> }[];
};

type Party = 'f' | 't';

/** Characters of one part of a term, and labels of a domain. */
const LONGEST = 255;
const MOST_LABELS = 8;

/** The terms of a message, each once. */
export function termsOf({ reversePath, messageId, recipients }: Searchable): Set<string> {
  const terms = new Set<string>();
  const add = (kind: Party, address: string): void => {
    terms.add(addressTerm(kind, address));
    for (const domain of domainsOf(domainOf(address))) terms.add(`${kind}${domain}`);
  };
  add('f', reversePath);
  if (messageId !== undefined) terms.add(messageIdTerm(messageId));
  for (const { recipient } of recipients) {
    for (const address of addressesOf(recipient)) add('t', address);
    if (recipient.reversePath !== undefined) add('f', recipient.reversePath);
  }
  return terms;
}

/** All addresses of a recipient: where its mail goes, what RCPT named, and what ORCPT did (RFC 3461 §4.2). */
export function addressesOf({ address, original, orcpt }: Searchable['recipients'][number]['recipient']): string[] {
  const all = [address];
  if (original !== undefined) all.push(original);
  const first = orcpt === undefined ? undefined : /^rfc822;(.+)$/i.exec(orcpt)?.[1];
  if (first !== undefined) all.push(first);
  return all;
}

export function addressTerm(kind: Party, address: string): string {
  const localPart = localPartOf(address).slice(0, LONGEST).toLowerCase();
  return `${kind}${localPart}@${normalizeDomain(domainOf(address)).slice(-LONGEST)}`;
}

/** A domain and all below it. */
export function domainTerm(kind: Party, domain: string): string {
  return `${kind}${domainsOf(domain).at(-1) ?? ''}`;
}

export function messageIdTerm(messageId: string): string {
  return `m${messageId.replace(/^<|>$/g, '').slice(0, LONGEST)}`;
}

/** The domains above one, the highest first, and itself last; of an address literal, itself. */
function domainsOf(domain: string): string[] {
  const name = normalizeDomain(domain).slice(-LONGEST);
  if (name.startsWith('[')) return [name];
  const domains: string[] = [];
  for (let at = name.length; at > 0 && domains.length < MOST_LABELS; ) {
    at = name.lastIndexOf('.', at - 1);
    domains.push(name.slice(at + 1));
  }
  return domains;
}
