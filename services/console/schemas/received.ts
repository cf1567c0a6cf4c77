import { z } from 'zod';

/** Reports that others send us: of TLS with our mail exchangers, and of mail that claims to be from us. Times in ms since 1970. */

export const ReportsQuery = z.strictObject({
  /** Whose time ended within so many days. */
  days: z.coerce.number().int().min(1).max(3650).default(30),
});

/** From how many there are, and of what time. */
const Summary = z.object({
  reports: z.number().int(),
  organisations: z.array(z.string()),
  /** Absent where there is no report. */
  begin: z.number().optional(),
  end: z.number().optional(),
  /** Reports that came in mail that does not pass DMARC itself: anybody can write one. */
  doubtful: z.number().int(),
  /** Nodes that did not answer, so that reports which came to them alone are not counted. */
  silent: z.array(z.string()),
});
export type ReportsSummary = z.infer<typeof Summary>;

export const TlsReportsReply = Summary.extend({
  /** By domain and policy, in sessions; those with failures first. */
  policies: z.array(
    z.object({
      domain: z.string(),
      policy: z.string(),
      succeeded: z.number().int(),
      failed: z.number().int(),
      /** The most frequent first. */
      failures: z.array(
        z.object({
          type: z.string(),
          host: z.string().optional(),
          count: z.number().int(),
          reporters: z.array(z.string()),
        }),
      ),
      reporters: z.array(z.string()),
    }),
  ),
});
export type TlsReportsReply = z.infer<typeof TlsReportsReply>;

/** Messages in all, and those of them with each result and disposition; `passed`: by DKIM or by SPF. */
const Totals = z.object({
  messages: z.number().int(),
  passed: z.number().int(),
  dkim: z.number().int(),
  spf: z.number().int(),
  none: z.number().int(),
  quarantine: z.number().int(),
  reject: z.number().int(),
});

export const DmarcReportsReply = Summary.extend({
  /** By address, those with the most messages that do not pass first; `from`: domains of the authors. */
  sources: z.array(Totals.extend({ source: z.string(), from: z.array(z.string()) })),
  /** Sources that are left out of a long list. */
  more: z.number().int(),
  total: Totals,
  /** Columns, a day (UTC) each. */
  days: z.object({ at: z.array(z.number()), passed: z.array(z.number()), failed: z.array(z.number()) }),
});
export type DmarcReportsReply = z.infer<typeof DmarcReportsReply>;
