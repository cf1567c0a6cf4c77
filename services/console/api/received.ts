import type { ReportHead } from '#shared/mail/reports/dmarc-report.ts';
import { findDmarcReports, type SourceTotals, sumOf, totalsByDay, totalsBySource } from '../reports/received/dmarc.ts';
import { findTlsReports, type PolicyTotals, totalsByPolicy } from '../reports/received/tls.ts';
import { DmarcReportsReply, ReportsQuery, type ReportsSummary, TlsReportsReply } from '../schemas/received.ts';
import { clusterOf } from './mail/cluster.ts';
import { route } from './route.ts';

/** What others report: of TLS with our mail exchangers, and of mail that claims to be from our domains. */

const DAY_MS = 86_400_000;
/** In an answer: anybody can write a report about any address. */
const MOST_SOURCES = 5000;

const sinceOf = ({ days }: { days: number }) => ({ since: Date.now() - days * DAY_MS });

export const receivedRoutes = [
  route({
    method: 'GET',
    path: '/api/tls/reports',
    summary: 'What others report of TLS with our mail exchangers (RFC 8460), by domain and policy',
    access: 'viewer',
    domains: 'filtered',
    query: ReportsQuery,
    reply: TlsReportsReply,
    handler: async ({ query, bounds, clients }) => {
      const found = await findTlsReports(clusterOf(clients), sinceOf(query));
      const reports = found.reports.filter(({ domain }) => bounds.has(domain));
      return { ...summaryOf(reports, found.silent), policies: totalsByPolicy(reports).toSorted(mostFailed) };
    },
  }),
  route({
    method: 'GET',
    path: '/api/authentication/dmarc',
    summary: 'What others report of mail that claims to be from our domains (RFC 9990), by source and by day',
    access: 'viewer',
    domains: 'filtered',
    query: ReportsQuery,
    reply: DmarcReportsReply,
    handler: async ({ query, bounds, clients }) => {
      const found = await findDmarcReports(clusterOf(clients), sinceOf(query));
      const reports = found.reports.filter(({ domain }) => bounds.has(domain));
      const sources = totalsBySource(reports).toSorted(mostRefused);
      return {
        ...summaryOf(reports, found.silent),
        sources: sources.slice(0, MOST_SOURCES),
        more: Math.max(0, sources.length - MOST_SOURCES),
        total: sumOf(sources),
        days: totalsByDay(reports, query.days, Date.now()),
      };
    },
  }),
];

const mostFailed = (a: PolicyTotals, b: PolicyTotals): number => b.failed - a.failed;

const refused = ({ messages, passed }: SourceTotals): number => messages - passed;
const mostRefused = (a: SourceTotals, b: SourceTotals): number => refused(b) - refused(a);

function summaryOf(reports: readonly ReportHead[], silent: readonly { node: string }[]): ReportsSummary {
  const times = reports.map(({ begin, end }) => ({ begin, end }));
  return {
    reports: reports.length,
    organisations: [...new Set(reports.map(({ organisation }) => organisation))].toSorted(),
    ...(times.length > 0 && {
      begin: times.reduce((least, { begin }) => Math.min(least, begin), Number.POSITIVE_INFINITY),
      end: times.reduce((most, { end }) => Math.max(most, end), 0),
    }),
    doubtful: reports.filter(({ dmarc }) => dmarc !== undefined && dmarc !== 'pass').length,
    silent: silent.map(({ node }) => node).toSorted(),
  };
}
