import { CountedTlsRow, TlsReportUnit, type TlsRow } from '#shared/mail/reports/tls-rows.ts';
import type { ReportKind } from '../daily/kind.ts';

export const TLS: ReportKind<TlsReportUnit, TlsRow> = {
  name: 'TLS',
  prefix: 'tls',
  counts: 'session',
  limits: { units: 50_000, rows: 1000 },
  unit: TlsReportUnit,
  row: CountedTlsRow,
  empty: { rows: 0, uncounted: 0 },
  // The sums of a report stay right: there is one for each kind of policy and of failure.
  coarser: ({ policy: { type }, failure }) => ({
    policy: { type, strings: [], mxHosts: [] },
    ...(failure && { failure: { type: failure.type } }),
  }),
};
