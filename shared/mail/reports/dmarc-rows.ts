import { z } from 'zod';

/**
 * What an aggregate report says of messages (RFC 9990 §3.1.1), as it is counted and crosses the bus. A row is all that
 * messages have in common which are counted together.
 */

const domain = z.string().max(255);

export const DmarcRow = z.object({
  /** Address of the client. */
  source: z.string().max(45),
  /** `pass`: DMARC passed, and the policy asks for more than `none` of what does not. */
  disposition: z.enum(['none', 'pass', 'quarantine', 'reject']),
  /** Aligned and passed. */
  dkim: z.boolean(),
  spf: z.boolean(),
  /** Why something else was done than the policy asks for. */
  reason: z
    .object({
      type: z.enum(['local_policy', 'mailing_list', 'other', 'policy_test_mode', 'trusted_forwarder']),
      comment: z.string().max(500).optional(),
    })
    .optional(),
  headerFrom: domain,
  /** Of the reverse-path; '' is the null one. */
  envelopeFrom: domain,
  /** What was found, whatever DMARC makes of it. */
  spfFound: z.object({ domain, result: z.string().max(20) }).optional(),
  dkimFound: z.array(z.object({ domain, selector: domain, result: z.string().max(20) })).max(11),
});
export type DmarcRow = z.infer<typeof DmarcRow>;

const Policy = z.enum(['none', 'quarantine', 'reject']);

/** The policy of a domain, as it was published when a message came. */
export const PublishedPolicy = z.object({
  p: Policy,
  sp: Policy.optional(),
  np: Policy.optional(),
  adkim: z.enum(['r', 's']),
  aspf: z.enum(['r', 's']),
  testing: z.boolean(),
  fo: z.string().max(20).optional(),
  /** Where reports go. */
  rua: z.string().max(2000),
});
export type PublishedPolicy = z.infer<typeof PublishedPolicy>;

export const CountedRow = z.object({ count: z.number().int().positive(), row: DmarcRow });
export type CountedRow = z.infer<typeof CountedRow>;

/** What a router counted for the report on a domain and a day: all rows of one policy. */
export const ReportUnit = z.object({
  /** As it was seen last, and when (ms since 1970). */
  published: PublishedPolicy,
  seen: z.number(),
  rows: z.number().int(),
  /** Messages that are in no row, because there were too many rows. */
  uncounted: z.number().int(),
  /** The rows were given to a run of this epoch. */
  epoch: z.number().int().optional(),
});
export type ReportUnit = z.infer<typeof ReportUnit>;

/** Some of the rows; `next` where there are more. */
export const ReportPage = z.object({ unit: ReportUnit, rows: z.array(CountedRow), next: z.string().optional() });
export type ReportPage = z.infer<typeof ReportPage>;
