import { routerContract } from '#services/router/contract.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import type { Caller } from '../context.ts';
import { findReports, type Report, type ReportSelection } from './received-reports.ts';

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

export function findDmarcReports(
  caller: Caller,
  selection: ReportSelection,
): Promise<{ reports: DmarcReport[]; silent: string[] }> {
  const router = caller.client(routerContract);
  const ask: Parameters<typeof findReports<ReportRow>>[1]['ask'] = (request, node) =>
    router['dmarc-report-list'](request, { node });
  return findReports(caller, { name: 'DMARC', ask }, selection);
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
