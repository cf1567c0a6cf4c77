import { routerContract } from '#services/router/contract.ts';
import type { ReportHead, ReportPart, ReportRow } from '#shared/mail/dmarc-report.ts';
import type { Caller } from '../context.ts';
import { askEach, findRouters, tellUndone } from './routers.ts';

/** The DMARC reports that came to any node: each once, however often and to how many nodes it was sent. */

export type Report = ReportHead & { rows: ReportRow[] };

export type ReportSelection = { domain?: string; since?: number };

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

/** `silent`: nodes whose reports are not among them, because their routers did not answer; that was said. */
export async function findReports(
  caller: Caller,
  selection: ReportSelection,
): Promise<{ reports: Report[]; silent: string[] }> {
  const silent: string[] = [];
  const found = await askEach(
    await findRouters(caller),
    (node) => reportsOf(caller, node, selection),
    (node, error) => {
      silent.push(node);
      tellUndone(`the DMARC reports that came to ${node} alone are not counted`, error);
    },
  );
  const reports = new Map<string, Report>();
  for (const [key, report] of found.flatMap((some) => [...some])) {
    const known = reports.get(key);
    // Anybody can write a report in the name of others.
    if (known === undefined || (report.dmarc === 'pass' && known.dmarc !== 'pass')) reports.set(key, report);
  }
  return { reports: [...reports.values()].toSorted((a, b) => a.end - b.end || (a.id < b.id ? -1 : 1)), silent };
}

/** The whole reports of one node, by their keys. */
async function reportsOf(caller: Caller, node: string, selection: ReportSelection): Promise<Map<string, Report>> {
  const router = caller.client(routerContract);
  const parts: ReportPart[] = [];
  let after: string | undefined;
  do {
    const page = await router['dmarc-report-list']({ ...selection, ...(after !== undefined && { after }) }, { node });
    parts.push(...page.parts);
    after = page.next;
  } while (after !== undefined);
  const reports = new Map<string, Report>();
  for (const [key, some] of Map.groupBy(parts, (part) => part.key)) {
    const head = some[0]?.head;
    // One that was deleted meanwhile, or is damaged, is not there whole.
    if (head !== undefined && some.length === head.parts)
      reports.set(key, { ...head, rows: some.flatMap((part) => part.rows) });
  }
  return reports;
}

/** Totals by source address, those of the most messages first. */
export function totalsBySource(reports: readonly Report[]): SourceTotals[] {
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
