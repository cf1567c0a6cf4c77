import { routerContract } from '#services/router/contract.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import type { Cluster } from '../clients.ts';
import { type FoundReports, findReports, type Report, type ReportSelection } from './reports.ts';

/** The DMARC reports that came to any node, and what they say in sum. */

export type DmarcReport = Report<ReportRow>;

/** What receivers saw of one address: messages in all, and those of them with each result and disposition. */
export type SourceTotals = {
  source: string;
  messages: number;
  /** DMARC passed: by DKIM or by SPF. */
  passed: number;
  dkim: number;
  spf: number;
  none: number;
  quarantine: number;
  reject: number;
  /** Domains of the authors. */
  from: string[];
};

export function findDmarcReports(cluster: Cluster, selection: ReportSelection): Promise<FoundReports<ReportRow>> {
  const router = cluster.client(routerContract);
  return findReports<ReportRow>(cluster, (request, node) => router['dmarc-report-list'](request, { node }), selection);
}

/** Totals by source address, those of the most messages first. */
export function totalsBySource(reports: readonly DmarcReport[]): SourceTotals[] {
  const sources = new Map<string, SourceTotals & { domains: Set<string> }>();
  for (const row of reports.flatMap((report) => report.rows)) {
    const known = sources.get(row.source) ?? { ...emptyTotals(row.source), domains: new Set<string>() };
    sources.set(row.source, known);
    add(known, row);
    known.domains.add(row.from);
  }
  return [...sources.values()]
    .map(({ domains, ...totals }) => ({ ...totals, from: [...domains].toSorted() }))
    .toSorted((a, b) => b.messages - a.messages || (a.source < b.source ? -1 : 1));
}

/** All sources together. */
export function sumOf(sources: readonly SourceTotals[]): Omit<SourceTotals, 'source' | 'from'> {
  const { source: _source, from: _from, ...sum } = emptyTotals('');
  const names = Object.keys(sum) as (keyof typeof sum)[];
  for (const totals of sources) for (const name of names) sum[name] += totals[name];
  return sum;
}

export type DayTotals = { at: number[]; passed: number[]; failed: number[] };
const DAY_MS = 86_400_000;

/**
 * Messages by the day (UTC) that the middle of their report falls into: columns, a row for today and each of the `days` before
 * it. Reports about other times are left out: anybody can write one.
 */
export function totalsByDay(reports: readonly DmarcReport[], days: number, now: number): DayTotals {
  const dayOf = ({ begin, end }: DmarcReport): number => Math.floor((begin + end) / 2 / DAY_MS);
  const byDay = Map.groupBy(reports, dayOf);
  const today = Math.floor(now / DAY_MS);
  const shown = Array.from({ length: days + 1 }, (_, n) => today - days + n);
  const sums = shown.map((day) => sumOf(totalsBySource(byDay.get(day) ?? [])));
  return {
    at: shown.map((day) => day * DAY_MS),
    passed: sums.map(({ passed }) => passed),
    failed: sums.map(({ messages, passed }) => messages - passed),
  };
}

function emptyTotals(source: string): SourceTotals {
  return { source, messages: 0, passed: 0, dkim: 0, spf: 0, none: 0, quarantine: 0, reject: 0, from: [] };
}

function add(totals: SourceTotals, { count, dkim, spf, disposition }: ReportRow): void {
  totals.messages += count;
  if (dkim || spf) totals.passed += count;
  if (dkim) totals.dkim += count;
  if (spf) totals.spf += count;
  totals[disposition] += count;
}
