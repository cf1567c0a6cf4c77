import { z } from 'zod';
import { domainOf } from '../address/address.ts';
import { parseAddressList } from '../address/address-list.ts';
import { canonicalAddress } from '../address/canonical-address.ts';

/** What names and addresses are, in the users file and in the cluster's directory. */

export function isMailbox(text: string): boolean {
  // RFC 5321 §4.5.3.1.3: a path has at most 256 octets with its brackets.
  if (Buffer.byteLength(text) > 254 || /[\s<>(),;]/.test(text)) return false;
  const [address, ...more] = parseAddressList(text) ?? [];
  return address !== undefined && more.length === 0 && domainOf(canonicalAddress(address)) !== '';
}

/** A full address, in its canonical form. */
export const MailAddress = z
  .string()
  .refine(isMailbox, { error: (issue) => `"${String(issue.input)}" is not a mail address` })
  .transform(canonicalAddress);

/** An address, `@domain` or `*`. */
export const PermittedSender = z
  .string()
  .refine((text) => text === '*' || isMailbox(text.startsWith('@') ? `x${text}` : text), {
    error: (issue) => `"${String(issue.input)}" is not a mail address, @domain or *`,
  })
  .transform((text) => (text === '*' ? text : canonicalAddress(text)));

/** Of a user, a group, an app password. */
export const UserName = z
  .string()
  .max(255)
  .regex(
    /^[^\p{Cc}\s]([^\p{Cc}]*[^\p{Cc}\s])?$/u,
    'a user name is text without control characters or outer white space',
  );

/** Why a user is blocked, for administrators: clients do not learn it. */
export const BlockReason = z
  .string()
  .max(200)
  .regex(/^[^\p{Cc}]*$/u, 'a reason is one line of text');

/** The name by which a user is found: neither case nor Unicode form counts. */
export function userKey(name: string): string {
  return name.normalize('NFC').toLowerCase();
}
