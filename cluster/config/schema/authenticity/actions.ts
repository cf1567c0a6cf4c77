import { z } from 'zod';
import { domain, host, listedDomain, listedMailbox } from '../values.ts';

/** What is done with mail from outside, by what was found out about it. */

export const spfSection = z
  .strictObject({
    'hard-fail': z
      .enum(['tag', 'reject'])
      .default('tag')
      .describe(
        'mail whose client the domain forbids (SPF fail): tagged in Received-SPF and marked as junk, or refused',
      ),
    exempt: z
      .array(host)
      .default([])
      .describe(
        'clients that SPF is not asked about, as they pass on mail of others: IP addresses, networks, host names, group:NAME',
      ),
  })
  .prefault({});

const disposition = z.enum(['none', 'quarantine', 'reject']);

const override = z.strictObject({
  domain: domain.describe('domain of the author, with everything below it'),
  policy: disposition.describe('deliver, mark as junk, or refuse'),
});

/** The options of `authenticity.dmarc` that say what is done. */
export const dmarcActions = {
  enforce: z
    .boolean()
    .default(true)
    .describe('mail that fails DMARC is refused or marked as junk where the domain of its author asks for it'),
  overrides: z
    .array(override)
    .prefault([])
    .describe('domains whose own policy does not count; the most specific domain wins'),
  'mailing-lists': z
    .array(host)
    .default([])
    .describe(
      'mailing lists whose failures of SPF, DKIM and DMARC are excused: their hosts, or domains that their mail passes SPF or DKIM for',
    ),
  'arc-sealers': z
    .array(listedDomain)
    .default([])
    .describe('domains whose ARC seal excuses failures, where the whole chain passes and the newest seal is theirs'),
};

export const junkSection = z
  .strictObject({
    'soft-fail': z
      .boolean()
      .default(false)
      .describe('SPF softfail is marked as junk too, beside DKIM fail, SPF fail and SPF permerror'),
    except: z
      .array(listedMailbox)
      .prefault([])
      .describe(
        'recipients whose mail goes to the mailbox though it is marked as junk: addresses, those of groups with their members, domains with everything below them; "*": all',
      ),
  })
  .prefault({});

/** As many bytes as fit into one encoded word of a header (RFC 2047 §2). */
const LONGEST_TAG = 40;

export const externalSection = z
  .strictObject({
    'subject-tag': z
      .string()
      .refine((text) => /^[^\p{C}\s]([^\p{C}]*[^\p{C}\s])?$/u.test(text) && Buffer.byteLength(text) <= LONGEST_TAG, {
        error: `expected a text of at most ${LONGEST_TAG} bytes, without line ends and spaces around it`,
      })
      .optional()
      .describe(
        'text at the beginning of the subject of mail from outside for local domains, such as [External]; it breaks the signatures of others',
      ),
    header: z.boolean().default(false).describe('mail from outside for local domains gets X-Sealpost-External: yes'),
  })
  .prefault({});
