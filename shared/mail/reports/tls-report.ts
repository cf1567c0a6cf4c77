import { z } from 'zod';
import { REPORT_PART_ROWS, ReportHead } from './dmarc-report.ts';

/** TLS reports of others about sessions with our mail exchangers (RFC 8460). */

/** Sessions under one policy that ended in the same way at the same host. */
export const TlsReportRow = z.object({
  /** `tlsa`, `sts`, `no-policy-found`, or what else the report says. */
  policy: z.string().max(40),
  count: z.number().int().nonnegative(),
  /** Absent: they were protected as the policy asks. */
  failure: z
    .object({
      type: z.string().max(60),
      host: z.string().max(255).optional(),
      reason: z.string().max(300).optional(),
    })
    .optional(),
});
export type TlsReportRow = z.infer<typeof TlsReportRow>;

/** One part of a report on one domain, as routers tell it: `messages` of its head are sessions. */
export const TlsReportPart = z.object({
  key: z.string(),
  head: ReportHead,
  part: z.number().int().nonnegative(),
  rows: z.array(TlsReportRow).max(REPORT_PART_ROWS),
});
export type TlsReportPart = z.infer<typeof TlsReportPart>;
