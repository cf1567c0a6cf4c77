import { z } from 'zod';
import { localPartOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { isMailbox, UserName } from '#shared/directory/values.ts';
import { domain, duration } from './values.ts';

/** The section `rewrite`: addresses that become others, where each is rewritten: services/policy/rewrite/rewriting.ts. */

export const ADDRESS_PLACES = ['envelope-sender', 'envelope-recipient', 'header-sender', 'header-recipient'] as const;
export type AddressPlace = (typeof ADDRESS_PLACES)[number];

const ASCII = /^[\x21-\x7e]+$/;

/** `user@domain`, `@domain`, or a local part alone. */
const pattern = z
  .string()
  .refine((text) => isMailbox(text) || isMailbox(`x${text}`) || isMailbox(`${text}@x.example`), {
    error: (i) => `"${String(i.input)}" is not user@domain, @domain or a local part`,
  });

/** `user@domain`, or `@domain`, which keeps the local part. */
const replacement = z
  .string()
  .transform(canonicalAddress)
  .refine(isReplacement, {
    error: (i) => `"${String(i.input)}" is not user@domain or @domain in ASCII`,
  });

/** Whether a map may make this of an address; the text is canonical. It goes into commands and headers as it is. */
export function isReplacement(text: string): boolean {
  return ASCII.test(text) && isMailbox(localPartOf(text) === '' ? `x${text}` : text);
}

const canonicalEntry = z.strictObject({
  map: z
    .record(pattern, replacement)
    .prefault({})
    .describe(
      'user@domain, @domain, or a local part alone (in local domains), and the user@domain or @domain that it becomes',
    )
    .meta({ kind: 'address: address' }),
  directory: UserName.optional().describe('name of a map of the cluster’s directory, which has such entries too'),
  of: z
    .array(z.enum(ADDRESS_PLACES))
    .min(1)
    .default([...ADDRESS_PLACES])
    .describe(
      'which addresses: MAIL, RCPT; From, Sender and Reply-To; To and Cc. All but RCPT only of mail that originates here',
    ),
});

export const rewriteSection = z
  .strictObject({
    canonical: z.array(canonicalEntry).prefault([]).describe('maps of addresses; the first that has an address counts'),
    'keep-original': z
      .boolean()
      .default(false)
      .describe('a rewritten header field stays as X-Original-From, X-Original-To …'),
    'domain-aliases': z
      .record(domain, domain)
      .prefault({})
      .describe('domains that are other names of local domains: every address in the one is that in the other')
      .meta({ kind: 'domain: local domain' }),
    delimiter: z
      .enum(['+', '-', '=', '_', '#', ''])
      .default('+')
      .describe('what stands before a tag, as in alice+tag@example.com; empty: tags are not known'),
    'reverse-path': z
      .enum(['keep', 'from'])
      .default('keep')
      .describe(
        'of mail that originates here: as MAIL gives it, or the address in From, where that is one of a domain of ours',
      ),
    srs: z
      .strictObject({
        domain: domain.describe('domain of the addresses that bounces come back to; its MX must be these nodes'),
        'valid-for': duration('21d', 86_400_000, 365 * 86_400_000).describe(
          'how long bounces are taken, in whole days',
        ),
      })
      .optional()
      .describe(
        'mail of other domains that an alias or group sends on elsewhere gets a reverse-path of ours (Sender Rewriting Scheme); needs credentials.nek',
      ),
  })
  .prefault({});
