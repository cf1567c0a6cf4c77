import type { z } from 'zod';
import { type ReportHead, ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import { TlsReportRow } from '#shared/mail/reports/tls-report.ts';

/** The two kinds of reports that are read: DMARC aggregate reports, and TLS reports. */

export type ReceivedKind<Row> = {
  /** In the log. */
  name: 'DMARC' | 'TLS';
  /** Before the names of its records. */
  prefix: 'report' | 'tls-report';
  row: z.ZodType<Row>;
};

/** A report on one domain. Rows that say the same are one. */
export type ReceivedReport<Row> = Pick<
  ReportHead,
  'organisation' | 'id' | 'domain' | 'begin' | 'end' | 'unreadable'
> & { rows: Row[] };

export const DMARC_REPORTS: ReceivedKind<ReportRow> = { name: 'DMARC', prefix: 'report', row: ReportRow };
export const TLS_REPORTS: ReceivedKind<TlsReportRow> = { name: 'TLS', prefix: 'tls-report', row: TlsReportRow };
