import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { parseAddressList } from '#shared/address/address-list.ts';
import { fieldValue, type HeaderField } from '#shared/header.ts';

/**
 * The author of a message. `domains`: normalized, in order; those of the From mailboxes, or without any that of the
 * reverse-path (none for the null reverse-path). `problem`: why there is no From that can be signed.
 */
export type Author = { domains: string[]; problem: string | undefined };

export function authorOf(fields: HeaderField[], reversePath: string): Author {
  const from = fields.filter((f) => f.name === 'from');
  const envelope = domainOf(reversePath) === '' ? [] : [normalizeDomain(domainOf(reversePath))];
  if (from.length === 0) return { domains: envelope, problem: 'the message has no From field' };
  const addresses: string[] = [];
  for (const field of from) {
    const list = parseAddressList(fieldValue(wellFormedPart(field)));
    if (list === undefined) return { domains: envelope, problem: 'the From field is not a list of addresses' };
    addresses.push(...list);
  }
  // Only empty groups (RFC 6854): a From that can be signed, in the name of the sender.
  if (addresses.length === 0) return { domains: envelope, problem: undefined };
  return { domains: [...new Set(addresses.map(addressDomain))], problem: undefined };
}

/** The field up to a line that does not belong to it: some readers stop there and see this author. */
function wellFormedPart(field: HeaderField): HeaderField {
  const end = field.raw.search(/\r\n(?![ \t])/);
  return end < 0 ? field : { name: field.name, raw: field.raw.slice(0, end) };
}

/** The header has one character for each byte; a domain beyond ASCII is UTF-8 (RFC 6532 §3.1). */
function addressDomain(address: string): string {
  return normalizeDomain(Buffer.from(domainOf(address), 'latin1').toString('utf8'));
}
