import type { ReportHead } from '#shared/mail/reports/dmarc-report.ts';
import { askEach, findRouters } from '../../reports/mail/routers.ts';
import type { Caller } from '../context.ts';
import { tellUndone } from './undone.ts';

/** The reports of one kind that came to any node: each once, however often and to how many nodes it was sent. */

export type Report<Row> = ReportHead & { rows: Row[] };

export type ReportSelection = { domain?: string; since?: number };

type Part<Row> = { key: string; head: ReportHead; rows: Row[] };
type Page<Row> = { parts: Part<Row>[]; next?: string | undefined };
/** Asks the router of a node for a page. */
type Ask<Row> = (request: ReportSelection & { after?: string }, node: string) => Promise<Page<Row>>;

/**
 * The reports, the oldest first. `name` of their kind. `silent`: nodes whose reports are not among them, because their routers
 * did not answer; that was said.
 */
export async function findReports<Row>(
  caller: Caller,
  { name, ask }: { name: string; ask: Ask<Row> },
  selection: ReportSelection,
): Promise<{ reports: Report<Row>[]; silent: string[] }> {
  const silent: string[] = [];
  const found = await askEach(
    await findRouters(caller),
    (node) => reportsOf(ask, node, selection),
    (node, error) => {
      silent.push(node);
      tellUndone(`the ${name} reports that came to ${node} alone are not counted`, error);
    },
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
