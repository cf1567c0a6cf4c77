import { domainToASCII } from 'node:url';

/**
 * Mailbox addresses as they stand in envelopes (RFC 5321 §4.1.2): `local@domain`, the domain in lower-case
 * A-labels for every comparison. The local part keeps its case; only the directory compares it without case.
 */

/** The part behind the last `@`, as written; '' when there is none (the null reverse-path, `<postmaster>`). */
export function domainOf(address: string): string {
  const at = address.lastIndexOf('@');
  return at < 0 ? '' : address.slice(at + 1);
}

/** The part before the last `@`. */
export function localPartOf(address: string): string {
  const at = address.lastIndexOf('@');
  return at < 0 ? address : address.slice(0, at);
}

/** A domain for comparison and DNS: lower case, A-labels (RFC 5890), no root dot. Address literals stay as they are. */
export function normalizeDomain(domain: string): string {
  const bare = domain.endsWith('.') ? domain.slice(0, -1) : domain;
  if (bare.startsWith('[')) return bare.toLowerCase();
  // domainToASCII refuses names that are no host names (`_dmarc.x`): those are ASCII already.
  return /^[\x21-\x7e]*$/.test(bare) ? bare.toLowerCase() : domainToASCII(bare.normalize('NFC')).toLowerCase();
}

/** Address with a normalized domain: the form used as a key. `''` stays `''`. */
export function normalizeAddress(address: string): string {
  const at = address.lastIndexOf('@');
  return at < 0 ? address : `${address.slice(0, at)}@${normalizeDomain(address.slice(at + 1))}`;
}

/** Whether `domain` is `parent` or below it, by whole labels: `notexample.com` is not below `example.com` (DOMINO R1). */
export function isSameOrSubdomain(domain: string, parent: string): boolean {
  return domain === parent || domain.endsWith(`.${parent}`);
}

/** Whether an address needs SMTPUTF8 to travel (RFC 6531): a local part or domain that is not ASCII. */
export function needsSmtpUtf8(address: string): boolean {
  return /[^\x00-\x7f]/.test(address);
}
