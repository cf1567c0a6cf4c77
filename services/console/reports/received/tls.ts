import { routerContract } from '#services/router/contract.ts';
import type { TlsReportRow } from '#shared/mail/reports/tls-report.ts';
import type { Cluster } from '../clients.ts';
import { type FoundReports, findReports, type Report, type ReportSelection } from './reports.ts';

/** The TLS reports that came to any node, and what they say in sum. */

export type TlsReport = Report<TlsReportRow>;

/** What others saw of the hosts of a domain under one policy. */
export type PolicyTotals = {
  domain: string;
  policy: string;
  succeeded: number;
  failed: number;
  /** The most frequent first. */
  failures: { type: string; host: string | undefined; count: number; reporters: string[] }[];
  /** Organisations that reported. */
  reporters: string[];
};

export function findTlsReports(cluster: Cluster, selection: ReportSelection): Promise<FoundReports<TlsReportRow>> {
  const router = cluster.client(routerContract);
  return findReports<TlsReportRow>(cluster, (request, node) => router['tls-report-list'](request, { node }), selection);
}

/** Totals by domain and policy, in the order of their names. */
export function totalsByPolicy(reports: readonly TlsReport[]): PolicyTotals[] {
  const rows = reports.flatMap(({ domain, organisation, rows: some }) =>
    some.map((row) => ({ ...row, domain, organisation })),
  );
  return [...Map.groupBy(rows, ({ domain, policy }) => JSON.stringify([domain, policy])).values()]
    .map((some) => {
      const failed = some.filter(({ failure }) => failure !== undefined);
      const byFailure = Map.groupBy(failed, ({ failure }) => JSON.stringify([failure?.type, failure?.host]));
      return {
        ...{ domain: some[0]?.domain ?? '', policy: some[0]?.policy ?? '' },
        ...{ succeeded: sumOf(some) - sumOf(failed), failed: sumOf(failed) },
        failures: [...byFailure.values()]
          .map((same) => ({
            ...{ type: same[0]?.failure?.type ?? '', host: same[0]?.failure?.host },
            ...{ count: sumOf(same), reporters: organisationsOf(same) },
          }))
          .toSorted((a, b) => b.count - a.count || (a.type < b.type ? -1 : 1)),
        reporters: organisationsOf(some),
      };
    })
    .toSorted((a, b) => (`${a.domain} ${a.policy}` < `${b.domain} ${b.policy}` ? -1 : 1));
}

function sumOf(rows: readonly { count: number }[]): number {
  return rows.reduce((sum, { count }) => sum + count, 0);
}

function organisationsOf(rows: readonly { organisation: string }[]): string[] {
  return [...new Set(rows.map(({ organisation }) => organisation))].toSorted();
}
