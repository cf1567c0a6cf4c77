import { z } from 'zod';
import { duration, TEN_YEARS_MS } from '../values.ts';
import { reportMailbox } from './dmarc.ts';

/** `delivery.tls-reports`: reports on the TLS of mail exchangers, which senders send to their owner (RFC 8460). */

export const tlsReportsSection = z
  .strictObject({
    send: z
      .boolean()
      .default(true)
      .describe(
        'send domains that ask for it (v=TLSRPTv1 in DNS) a report on the TLS of the sessions with their mail exchangers',
      ),
    from: reportMailbox
      .optional()
      .describe(
        'author of the reports; default: authenticity.dmarc.reports.from, else postmaster of the first local domain',
      ),
    organisation: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe(
        'name of the organisation in the reports; default: authenticity.dmarc.reports.organisation, else the domain of their author',
      ),
    contact: reportMailbox
      .optional()
      .describe('address of those who are responsible for the reports; default: their author'),
    receive: z
      .array(reportMailbox)
      .prefault([])
      .describe(
        'addresses of ours that TLS reports are sent to (rua= in the record at _smtp._tls): a report ends here and is counted, all other mail goes to the mailbox or the alias of that name',
      ),
    keep: duration('90d', 86_400_000, TEN_YEARS_MS).describe('how long reports that arrived are counted'),
  })
  .prefault({});
