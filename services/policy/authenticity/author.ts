import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { parseAddressSpans } from '#shared/address/address-list.ts';
import { authorsOf } from '#shared/address/authors.ts';
import { fieldValue, type HeaderField } from '#shared/mail/header.ts';
import { printable } from '#shared/text.ts';

/** The author's domain, for DMARC (RFC 9989 §5.3.1); `problem`: there is none, or readers could see different ones. */
export type Author = { problem: string } | { problem?: undefined; domain: string };

/** RFC 1035 §2.3.4, in A-labels. */
const LONGEST_DOMAIN = 253;
/** Bytes; a hundred authors with long names have fewer. */
const LONGEST_FROM = 32_768;
/** A field name, a fold and a colon: some readers take it for a field. */
const FOLDED_NAME = /(?:^|\r\n)from[ \t]*\r\n[ \t]+:/i;

export function authorOf(from: readonly HeaderField[], header: string): Author {
  const [field, ...more] = from;
  if (field === undefined) return { problem: 'it has no From field' };
  if (more.length > 0 || FOLDED_NAME.test(header)) return { problem: 'it has more than one From field' };
  if (field.raw.length > LONGEST_FROM) return { problem: `its From field is longer than ${LONGEST_FROM} bytes` };
  const { addresses, problem } = authorsOf(field);
  if (problem !== undefined) return { problem: `its From field can be read in different ways: ${problem}` };
  if (hasGap(fieldValue(field))) return { problem: 'a domain in its From field is interrupted by space or a comment' };
  const domains = new Set(addresses.map((address) => normalizeDomain(domainOf(address))));
  const [domain, other] = domains;
  if (other !== undefined) {
    return { problem: `its From field has authors of ${printable(domain ?? '')} and ${printable(other)}` };
  }
  if (domain === undefined || domain === '') return { problem: 'its From field has no address with a domain' };
  if (domain.length > LONGEST_DOMAIN) return { problem: 'the domain in its From field is too long' };
  return { domain };
}

/**
 * White space or a comment inside a domain (RFC 5322 §4.4): `a@bank.test(x).evil.test` ends with `bank.test` for some readers.
 * What precedes all of it or follows it interrupts nothing.
 */
function hasGap(value: string): boolean {
  const addresses = parseAddressSpans(value) ?? [];
  return addresses.some(({ start, end }) => /[\s()]/.test(domainOf(value.slice(start, end)).trimStart()));
}
