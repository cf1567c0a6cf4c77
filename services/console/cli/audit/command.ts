import type { Command } from 'commander';
import type { AuditEntry } from '#shared/audit/entry.ts';
import { formatTime } from '#shared/units.ts';
import { findEntries } from '../../reports/audit/entries.ts';
import { type CommonOptions, openCaller, parseCount, print, withCommon } from '../context.ts';
import { momentOf } from '../mail/find/question.ts';
import { tellUndone } from '../mail/undone.ts';
import { table } from '../table.ts';

/** `sealpost audit`: which changes people made, with this command line or in another way. */

export function register(program: Command): void {
  withCommon(program.command('audit'))
    .description('who changed what and when, on all nodes: keys, users, certificates, the queue, the cluster')
    .option('--since <time>', 'only in the last 12h, 7d …, or since "2026-11-30 14:05"')
    .option('--until <time>', 'only before that')
    .option('--by <text>', 'only by this person')
    .option('--about <text>', 'only what has this in its words: a domain, a user, a queue id, an operation')
    .option('--limit <n>', 'at most so many, the newest', parseCount, 100)
    .addHelpText(
      'after',
      '\nThe person is who ran the command, as the command says; files such as sealpost.yaml are changed without it.',
    )
    .action(audit);
}

type AuditOptions = CommonOptions & { since?: string; until?: string; by?: string; about?: string; limit: number };

async function audit({ since, until, by, about, limit, ...options }: AuditOptions): Promise<void> {
  const now = Date.now();
  const search = {
    ...(since !== undefined && { since: momentOf(since, now) }),
    ...(until !== undefined && { until: momentOf(until, now) }),
    ...(by !== undefined && { by }),
    ...(about !== undefined && { about }),
  };
  await using caller = await openCaller(options);
  const { entries, more, silent } = await findEntries(caller, search, limit);
  for (const { node, error } of silent) tellUndone(`what node ${node} alone has written down is not listed`, error);
  print(options, { entries, more }, () => {
    if (entries.length === 0) return 'no changes';
    const lines = table(COLUMNS, entries.map(row));
    return more ? `${lines}\n… and older ones (--limit, --until)` : lines;
  });
}

const COLUMNS = ['WHEN', 'BY', 'NODE', 'CHANGE', 'ABOUT', 'OUTCOME'];

function row({ at, by, node, service, operation, about, outcome, times }: AuditEntry): string[] {
  const change = `${service} ${operation}${times === undefined ? '' : ` (${times} times)`}`;
  return [formatTime(at), by, node, change, about, outcome];
}
