import { domainOf, localPartOf, normalizeDomain } from './address.ts';
import { parseAddressList } from './address-list.ts';

/**
 * An address in the one form that this service compares and delivers: the domain normalized, the local part without
 * quotes that it does not need (`"alice"@x` is `alice@x`, RFC 5321 §4.1.2). An address without `@` stays as it is.
 */
export function canonicalAddress(address: string): string {
  const local = localPartOf(address);
  if (local === address) return address;
  const plain = local.includes('"') ? (parseAddressList(address)?.[0] ?? address) : address;
  return `${localPartOf(plain)}@${normalizeDomain(domainOf(plain))}`;
}

/** What two addresses of a domain of ours have in common when they are one mailbox: case does not count. */
export function mailboxKey(canonical: string): string {
  return canonical.normalize('NFC').toLowerCase();
}

/** What stands before a tag unless `rewrite.delimiter` says otherwise. */
export const DELIMITER = '+';

/** `alice+tag@example.com` without its tag; undefined when there is none. A quoted local part has none. */
export function withoutTag(canonical: string, delimiter = DELIMITER): string | undefined {
  const local = localPartOf(canonical);
  const end = delimiter === '' ? -1 : local.indexOf(delimiter);
  return end <= 0 || local.startsWith('"') ? undefined : `${local.slice(0, end)}@${domainOf(canonical)}`;
}

/** `alice@example.com` with the tag of `alice+tag@…`. */
export function withTagOf(address: string, tagged: string, delimiter = DELIMITER): string {
  const local = localPartOf(tagged);
  return `${localPartOf(address)}${local.slice(local.indexOf(delimiter))}@${domainOf(address)}`;
}
