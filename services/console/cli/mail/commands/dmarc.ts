import type { Command } from 'commander';
import { normalizeDomain } from '#shared/address/address.ts';
import { formatTime, parseDuration } from '#shared/units.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { shorten, table } from '../../table.ts';
import { type DmarcReport, findDmarcReports, type SourceTotals, sumOf, totalsBySource } from '../dmarc-reports.ts';

type ReportOptions = CommonOptions & { domain?: string; since?: string };

export function register(program: Command): void {
  const dmarc = program.command('dmarc').description('what others report of mail that claims to be from our domains');
  withCommon(
    dmarc
      .command('reports')
      .description('totals of the aggregate reports that came to any node, by source address and verdict'),
  )
    .option('--domain <name>', 'only reports about this domain and those below it')
    .option(
      '--since <duration>',
      'only reports whose time ended within the last 7d, 12h … (default: all that are kept)',
    )
    .action(reports);
}

async function reports(options: ReportOptions): Promise<void> {
  const { domain, since } = options;
  const ms = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && ms === undefined) throw usageError(`"${since}" is not a duration: write 12h or 7d`);
  await using caller = await openCaller(options);
  const { reports: found, silent } = await findDmarcReports(caller, {
    ...(domain !== undefined && { domain: normalizeDomain(domain) }),
    ...(ms !== undefined && { since: Date.now() - ms }),
  });
  const sources = totalsBySource(found);
  const heads = found.map(({ rows: _, parts: _parts, ...head }) => head);
  print(options, { reports: heads, sources, total: sumOf(sources), silent }, () =>
    found.length === 0
      ? `no DMARC report ${domain === undefined && since === undefined ? 'has arrived' : 'fits'}${silent.length === 0 ? '' : ' elsewhere'}`
      : `${summary(found)}\n\n${sourceTable(sources)}`,
  );
}

function summary(found: readonly DmarcReport[]): string {
  const organisations = new Set(found.map(({ organisation }) => organisation));
  const begin = Math.min(...found.map((report) => report.begin));
  const end = Math.max(...found.map((report) => report.end));
  const unreadable = found.reduce((sum, report) => sum + report.unreadable, 0);
  const doubtful = found.filter(({ dmarc }) => dmarc !== undefined && dmarc !== 'pass').length;
  const about = [...new Set(found.map(({ domain }) => domain))].toSorted();
  return [
    `${found.length} reports of ${organisations.size} organisations about ${shorten(about.join(', '), 200)}`,
    `from ${formatTime(begin)} to ${formatTime(end)}`,
    ...(doubtful === 0 ? [] : [`${doubtful} of them came in mail that does not pass DMARC itself`]),
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
