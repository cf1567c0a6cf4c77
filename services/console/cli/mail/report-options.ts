import type { Command } from 'commander';
import { normalizeDomain } from '#shared/address/address.ts';
import type { ReportHead } from '#shared/mail/reports/dmarc-report.ts';
import { formatTime, parseDuration } from '#shared/units.ts';
import type { FoundReports, ReportSelection } from '../../reports/received/reports.ts';
import { type CommonOptions, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { tellUndone } from './undone.ts';

/** What the commands about received reports have in common, whatever the reports are about. */

export type ReportOptions = CommonOptions & { domain?: string; since?: string };

export function withSelection(command: Command): Command {
  return withCommon(command)
    .option('--domain <name>', 'only reports about this domain and those below it')
    .option(
      '--since <duration>',
      'only reports whose time ended within the last 7d, 12h … (default: all that are kept)',
    );
}

export function selectionOf({ domain, since }: ReportOptions): ReportSelection {
  const ms = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && ms === undefined) throw usageError(`"${since}" is not a duration: write 12h or 7d`);
  return {
    ...(domain !== undefined && { domain: normalizeDomain(domain) }),
    ...(ms !== undefined && { since: Date.now() - ms }),
  };
}

/** Say which nodes did not answer, and return their names. `kind`: `DMARC`. */
export function tellSilent(kind: string, silent: FoundReports<unknown>['silent']): string[] {
  for (const { node, error } of silent) {
    tellUndone(`the ${kind} reports that came to ${node} alone are not counted`, error);
  }
  return silent.map(({ node }) => node);
}

/** Where there is none. `kind`: `DMARC`; `silent`: nodes that did not answer. */
export function noneText(kind: string, { domain, since }: ReportOptions, silent: readonly string[]): string {
  const none = domain === undefined && since === undefined ? 'has arrived' : 'fits';
  return `no ${kind} report ${none}${silent.length === 0 ? '' : ' elsewhere'}`;
}

/** From whom the reports are, of what time, and how far they can be believed, a line each. */
export function summaryLines(found: readonly ReportHead[], about = ''): string[] {
  const organisations = new Set(found.map(({ organisation }) => organisation));
  const begin = Math.min(...found.map((report) => report.begin));
  const end = Math.max(...found.map((report) => report.end));
  const doubtful = found.filter(({ dmarc }) => dmarc !== undefined && dmarc !== 'pass').length;
  return [
    `${found.length} reports of ${organisations.size} organisations${about}`,
    `from ${formatTime(begin)} to ${formatTime(end)}`,
    ...(doubtful === 0 ? [] : [`${doubtful} of them came in mail that does not pass DMARC itself`]),
  ];
}
