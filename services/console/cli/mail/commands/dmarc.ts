import type { Command } from 'commander';
import {
  type DmarcReport,
  findDmarcReports,
  type SourceTotals,
  sumOf,
  totalsBySource,
} from '../../../reports/received/dmarc.ts';
import { openCaller, print } from '../../context.ts';
import { shorten, table } from '../../table.ts';
import {
  noneText,
  type ReportOptions,
  selectionOf,
  summaryLines,
  tellSilent,
  withSelection,
} from '../report-options.ts';

export function register(program: Command): void {
  const dmarc = program.command('dmarc').description('what others report of mail that claims to be from our domains');
  withSelection(
    dmarc
      .command('reports')
      .description('totals of the aggregate reports that came to any node, by source address and verdict'),
  ).action(reports);
}

async function reports(options: ReportOptions): Promise<void> {
  const selection = selectionOf(options);
  await using caller = await openCaller(options);
  const { reports: found, silent: unheard } = await findDmarcReports(caller, selection);
  const silent = tellSilent('DMARC', unheard);
  const sources = totalsBySource(found);
  const heads = found.map(({ rows: _, parts: _parts, ...head }) => head);
  print(options, { reports: heads, sources, total: sumOf(sources), silent }, () =>
    found.length === 0 ? noneText('DMARC', options, silent) : `${summary(found)}\n\n${sourceTable(sources)}`,
  );
}

function summary(found: readonly DmarcReport[]): string {
  const about = [...new Set(found.map(({ domain }) => domain))].toSorted();
  const unreadable = found.reduce((sum, report) => sum + report.unreadable, 0);
  return [
    ...summaryLines(found, ` about ${shorten(about.join(', '), 200)}`),
    ...(unreadable === 0 ? [] : [`${unreadable} records in them could not be read and are not counted`]),
  ].join('\n');
}

function sourceTable(sources: readonly SourceTotals[]): string {
  const cells = (name: string, totals: Omit<SourceTotals, 'source' | 'from'>, from: string): string[] => [
    name,
    String(totals.messages),
    String(totals.passed),
    String(totals.dkim),
    String(totals.spf),
    String(totals.none),
    String(totals.quarantine),
    String(totals.reject),
    from,
  ];
  const rows = sources.map((totals) => cells(totals.source, totals, shorten(totals.from.join(', '), 60)));
  const total = cells('all', sumOf(sources), '');
  return table(
    ['SOURCE', 'MESSAGES', 'PASSED', 'DKIM', 'SPF', 'DELIVERED', 'QUARANTINED', 'REJECTED', 'FROM'],
    [...rows, total],
  );
}
