import { z } from 'zod';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { isMailbox } from '#shared/directory/values.ts';
import { domain, duration, TEN_YEARS_MS } from '../values.ts';

/** `authenticity.dmarc.reports`: reports about the mail of a domain, which receivers send to its owner (RFC 9990). We are both. */

/** An address of ours that reports go to, or come from. */
export const reportMailbox = z
  .string()
  .refine((text) => isMailbox(text) && domain.safeParse(domainOf(text)).success, {
    error: (i) => `${JSON.stringify(i.input)} is not an address such as reports@example.com`,
  })
  .transform(canonicalAddress);

export const dmarcReportsSection = z
  .strictObject({
    send: z
      .boolean()
      .default(true)
      .describe(
        'send the owners of domains that ask for it (rua= in the DMARC record) a report on the mail in their name',
      ),
    failure: z
      .boolean()
      .default(false)
      .describe(
        'send those that ask for it (ruf= in the DMARC record) a report on each message in their name that fails DMARC, with its header but without its recipients',
      ),
    from: reportMailbox.optional().describe('author of the reports; default: postmaster of the first local domain'),
    organisation: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('name of the organisation in the reports; default: the domain of their author'),
    contact: z.string().min(1).max(500).optional().describe('how the organisation can be reached, beside that address'),
    receive: z
      .array(reportMailbox)
      .prefault([])
      .describe(
        'addresses of ours that aggregate reports are sent to (rua= in the DMARC record): a report ends here and is counted, all other mail goes to the mailbox or the alias of that name',
      ),
    keep: duration('90d', 86_400_000, TEN_YEARS_MS).describe('how long reports that arrived are counted'),
  })
  .prefault({});
