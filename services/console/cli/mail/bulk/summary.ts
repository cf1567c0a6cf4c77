import { type Command, Option } from 'commander';
import { SummaryBy } from '#shared/queue/summary.ts';
import { formatDuration } from '#shared/units.ts';
import { askEach, findRouters } from '../../../reports/mail/routers.ts';
import { groupsOf, merged } from '../../../reports/mail/summary.ts';
import { type CommonOptions, openCaller, parseCount, print } from '../../context.ts';
import { shorten, table } from '../../table.ts';
import { tellUndone } from '../undone.ts';
import { type FilterWords, filterOf, withFilter } from './filter-words.ts';

/** `sealpost queue summary`: how much mail of each kind waits on all nodes. */

type SummaryOptions = CommonOptions & FilterWords & { node?: string; by: SummaryBy; limit: number };

const TITLES: Record<SummaryBy, string> = {
  destination: 'DESTINATION',
  reply: 'LAST REPLY',
  sender: 'SENDER',
  node: 'NODE',
  hold: 'HELD BY',
  archive: 'COPY FOR ARCHIVE',
};

/** Characters of a group in a table. */
const LONGEST = 100;

export function registerSummary(command: (name: string, text: string) => Command): void {
  withFilter(command('summary', 'how much mail waits, by destination, last reply, sender or node, or by what holds it'))
    .addOption(new Option('--by <what>', 'what is counted').choices(SummaryBy.options).default('destination'))
    .option('--limit <number>', 'how many rows at most', parseCount, 100)
    .action(summary);
}

async function summary(ids: string[], options: SummaryOptions): Promise<void> {
  const { by } = options;
  const filter = filterOf(ids, options, Date.now());
  await using caller = await openCaller(options);
  const silent: string[] = [];
  const parts = await askEach(
    await findRouters(caller, options.node),
    (node) => groupsOf(caller, node, { by, filter }),
    (node, error) => {
      silent.push(node);
      tellUndone(`the queue of ${node} is not counted`, error);
    },
  );
  const groups = merged(parts.flat());
  const now = Date.now();
  const rows = groups
    .slice(0, options.limit)
    .map(({ key, messages, oldest, next }) => [
      String(messages),
      formatDuration(now - oldest),
      next === undefined ? 'held' : next <= now ? 'now' : `in ${formatDuration(next - now)}`,
      shorten(key, LONGEST),
    ]);
  const others = silent.length === 0 ? '' : ' of the others';
  const more = groups.length - rows.length;
  print(options, { by, groups, silent }, () =>
    rows.length === 0
      ? `no mail in the queue${others}`
      : [
          table(['MESSAGES', 'OLDEST', 'NEXT ATTEMPT', TITLES[by]], rows),
          ...(more === 0 ? [] : [`… and ${more} more: --limit ${groups.length}`]),
        ].join('\n'),
  );
}
