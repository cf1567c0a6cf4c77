import { z } from 'zod';
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
  })
  .prefault({});
