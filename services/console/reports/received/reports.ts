import type { ReportHead } from '#shared/mail/reports/dmarc-report.ts';
import type { Cluster } from '../clients.ts';
import { askEach, findRouters } from '../mail/routers.ts';

/** The reports of one kind that came to any node: each once, however often and to how many nodes it was sent. */

export type Report<Row> = ReportHead & { rows: Row[] };

export type ReportSelection = { domain?: string; since?: number };

type Part<Row> = { key: string; head: ReportHead; rows: Row[] };
type Page<Row> = { parts: Part<Row>[]; next?: string | undefined };
/** Asks the router of a node for a page. */
export type Ask<Row> = (request: ReportSelection & { after?: string }, node: string) => Promise<Page<Row>>;

/** `silent`: nodes whose reports are not among them, because their routers did not answer, and why. */
export type FoundReports<Row> = { reports: Report<Row>[]; silent: { node: string; error: unknown }[] };

/** The reports, the oldest first. */
export async function findReports<Row>(
  cluster: Pick<Cluster, 'meet'>,
  ask: Ask<Row>,
  selection: ReportSelection,
): Promise<FoundReports<Row>> {
  const silent: FoundReports<Row>['silent'] = [];
  const found = await askEach(
    await findRouters(cluster),
    (node) => reportsOf(ask, node, selection),
    (node, error) => silent.push({ node, error }),
  );
  const reports = new Map<string, Report<Row>>();
  for (const [key, report] of found.flatMap((some) => [...some])) {
    const known = reports.get(key);
    // Anybody can write a report in the name of others.
    if (known === undefined || (report.dmarc === 'pass' && known.dmarc !== 'pass')) reports.set(key, report);
  }
  return { reports: [...reports.values()].toSorted((a, b) => a.end - b.end || (a.id < b.id ? -1 : 1)), silent };
}

/** The whole reports of one node, by their keys. */
async function reportsOf<Row>(
  ask: Ask<Row>,
  node: string,
  selection: ReportSelection,
): Promise<Map<string, Report<Row>>> {
  const parts: Part<Row>[] = [];
  let after: string | undefined;
  do {
    const page = await ask({ ...selection, ...(after !== undefined && { after }) }, node);
    parts.push(...page.parts);
    after = page.next;
  } while (after !== undefined);
  const reports = new Map<string, Report<Row>>();
  for (const [key, some] of Map.groupBy(parts, (part) => part.key)) {
    const head = some[0]?.head;
    // One that was deleted meanwhile, or is damaged, is not there whole.
    if (head !== undefined && some.length === head.parts)
      reports.set(key, { ...head, rows: some.flatMap((part) => part.rows) });
  }
  return reports;
}
