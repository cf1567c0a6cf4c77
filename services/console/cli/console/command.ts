import { type Command, Option } from 'commander';
import { normalizeDomain } from '#shared/address/address.ts';
import { formatDuration } from '#shared/units.ts';
import { consoleContract, Role } from '../../contract.ts';
import { type CommonOptions, openCaller, print, withCommon } from '../context.ts';
import { operator } from '../operator.ts';

export function register(program: Command): void {
  const console = program.command('console').description('the web page for administrators');
  withCommon(console.command('link'))
    .description('print a link that signs one browser in, once, within ten minutes')
    .addOption(new Option('--role <role>', 'what the session may do').choices(Role.options).default('operator'))
    .option('--domains <domains>', 'all that the session sees and changes, separated by commas (default: every domain)')
    .action(link);
}

type LinkOptions = CommonOptions & { role: Role; domains?: string };

async function link(options: LinkOptions): Promise<void> {
  const { role, domains } = options;
  await using caller = await openCaller(options);
  await caller.meet().catch(() => undefined);
  const made = await caller.client(consoleContract)['link-create']({
    ...{ role, person: operator() },
    ...(domains !== undefined && { domains: domains.split(',').map(normalizeDomain) }),
  });
  print(options, made, () => `${made.url}\n\nIt signs one browser in, once, within ${formatDuration(made.validMs)}.`);
}
