import { z } from 'zod';

/**
 * What a TLS report says of sessions (RFC 8460 §4), as it is counted and crosses the bus. A row is all that sessions have in
 * common which are counted together.
 */

const domain = z.string().max(255);
const address = z.string().max(45);

export const TlsRow = z.object({
  /** The policy that was applied; without its texts in rows that stand for many. */
  policy: z.object({
    type: z.enum(['tlsa', 'sts', 'no-policy-found']),
    strings: z.array(z.string()).max(100),
    mxHosts: z.array(domain).max(100),
  }),
  /** Absent: the session was protected as the policy asks. */
  failure: z
    .object({
      type: z.string().max(40),
      reason: z.string().max(500).optional(),
      /** Our end of the connection, the mail exchanger, and its end. */
      from: address.optional(),
      host: domain.optional(),
      address: address.optional(),
    })
    .optional(),
});
export type TlsRow = z.infer<typeof TlsRow>;

export const CountedTlsRow = z.object({ count: z.number().int().positive(), row: TlsRow });

/** What a router counted for the report on a domain and a day. */
export const TlsReportUnit = z.object({
  rows: z.number().int(),
  /** Sessions that are in no row, because there were too many rows. */
  uncounted: z.number().int(),
  /** The rows were given to a run of this epoch. */
  epoch: z.number().int().optional(),
});
export type TlsReportUnit = z.infer<typeof TlsReportUnit>;

/** Some of the rows; `next` where there are more. */
export const TlsReportPage = z.object({
  unit: TlsReportUnit,
  rows: z.array(CountedTlsRow),
  next: z.string().optional(),
});
export type TlsReportPage = z.infer<typeof TlsReportPage>;
