import type { Command } from 'commander';
import { normalizeDomain } from '#shared/address/address.ts';
import { formatTime, parseDuration } from '#shared/units.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { shorten, table } from '../../table.ts';
import { findTlsReports, type PolicyTotals, type TlsReport, totalsByPolicy } from '../tls-reports.ts';

type ReportOptions = CommonOptions & { domain?: string; since?: string };

/** Of names that share a cell. */
const LONGEST = 60;

/** To the command `tls`. */
export function register(tls: Command): void {
  withCommon(
    tls
      .command('reports')
      .description('what others report of TLS with our mail exchangers, of all nodes, by domain and policy'),
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
  const { reports: found, silent } = await findTlsReports(caller, {
    ...(domain !== undefined && { domain: normalizeDomain(domain) }),
    ...(ms !== undefined && { since: Date.now() - ms }),
  });
  const policies = totalsByPolicy(found);
  const heads = found.map(({ rows: _, parts: _parts, messages: sessions, ...head }) => ({ ...head, sessions }));
  print(options, { reports: heads, policies, silent }, () => {
    if (found.length > 0) return `${summary(found)}\n\n${policyTable(policies)}`;
    const none = domain === undefined && since === undefined ? 'has arrived' : 'fits';
    return `no TLS report ${none}${silent.length === 0 ? '' : ' elsewhere'}`;
  });
}

function summary(found: readonly TlsReport[]): string {
  const organisations = new Set(found.map(({ organisation }) => organisation));
  const begin = Math.min(...found.map((report) => report.begin));
  const end = Math.max(...found.map((report) => report.end));
  const doubtful = found.filter(({ dmarc }) => dmarc !== undefined && dmarc !== 'pass').length;
  return [
    `${found.length} reports of ${organisations.size} organisations`,
    `from ${formatTime(begin)} to ${formatTime(end)}`,
    ...(doubtful === 0 ? [] : [`${doubtful} of them came in mail that does not pass DMARC itself`]),
  ].join('\n');
}

/** A line for each policy, and one below it for each way to fail. */
function policyTable(policies: readonly PolicyTotals[]): string {
  const names = (reporters: readonly string[]): string => shorten(reporters.join(', '), LONGEST);
  const rows = policies.flatMap(({ domain, policy, succeeded, failed, failures, reporters }) => [
    [domain, policy, String(succeeded), String(failed), '', names(reporters)],
    ...failures.map(({ type, host, count, reporters: some }) => [
      ...['', '', '', String(count)],
      shorten(host === undefined ? type : `${type} at ${host}`, LONGEST),
      names(some),
    ]),
  ]);
  return table(['DOMAIN', 'POLICY', 'SUCCEEDED', 'FAILED', 'FAILURE', 'REPORTED BY'], rows);
}
