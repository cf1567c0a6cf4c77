import type { Command } from 'commander';
import { findTlsReports, type PolicyTotals, totalsByPolicy } from '../../../reports/received/tls.ts';
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

/** Of names that share a cell. */
const LONGEST = 60;

/** To the command `tls`. */
export function register(tls: Command): void {
  withSelection(
    tls
      .command('reports')
      .description('what others report of TLS with our mail exchangers, of all nodes, by domain and policy'),
  ).action(reports);
}

async function reports(options: ReportOptions): Promise<void> {
  const selection = selectionOf(options);
  await using caller = await openCaller(options);
  const { reports: found, silent: unheard } = await findTlsReports(caller, selection);
  const silent = tellSilent('TLS', unheard);
  const policies = totalsByPolicy(found);
  const heads = found.map(({ rows: _, parts: _parts, messages: sessions, ...head }) => ({ ...head, sessions }));
  print(options, { reports: heads, policies, silent }, () =>
    found.length === 0
      ? noneText('TLS', options, silent)
      : `${summaryLines(found).join('\n')}\n\n${policyTable(policies)}`,
  );
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
