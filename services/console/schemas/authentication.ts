import { z } from 'zod';
import { AuthenticationCounts } from '#shared/mail/reports/authentication-totals.ts';

/** What this cluster found out about the mail that it accepted from elsewhere. Times in ms since 1970. */

const MOST_HOURS = 24 * 366;

export const ResultsQuery = z.strictObject({
  hours: z.coerce.number().int().min(1).max(MOST_HOURS).default(24),
  by: z.enum(['domain', 'source']).default('domain'),
  /** Only mail that claims to be from this domain, only what came from this address. */
  domain: z.string().min(1).max(255).optional(),
  source: z.string().min(1).max(100).optional(),
});

export const ResultsReply = z.object({
  /** By domain or by source, those with the most messages that fail DMARC first. */
  rows: z.array(
    AuthenticationCounts.extend({
      name: z.string(),
      /** Of a domain, from how many sources; of a source, for how many domains; and the only one where it is one. */
      others: z.number().int(),
      other: z.string().optional(),
    }),
  ),
  /** Rows that are left out of a long list. */
  more: z.number().int(),
  sum: AuthenticationCounts,
  /** Absent where all of it was looked at: mail that came before this moment was not. */
  since: z.number().optional(),
  /** Nodes whose mail is not counted, and why. */
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
  /** Damaged records, which are not counted. */
  unreadable: z.number().int(),
});
export type ResultsReply = z.infer<typeof ResultsReply>;
