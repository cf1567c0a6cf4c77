import type { Command } from 'commander';
import { type CommonOptions, withCommon } from '../../context.ts';
import { addAlias, changeAlias, listAliases, removeEntry } from '../lists.ts';

export function register(program: Command): void {
  const aliases = program.command('aliases').description("aliases of the cluster's directory");
  const command = (name: string, text: string): Command => withCommon(aliases.command(name).description(text));
  command('add', 'lead mail for an address to others')
    .argument('<alias>', 'the address')
    .argument('<target...>', 'where its mail goes: addresses, also of other aliases; its own keeps a copy')
    .action(addAlias);
  command('change', 'change where an alias leads')
    .argument('<alias>', 'the address')
    .option('--add <address...>', 'targets to add')
    .option('--remove <address...>', 'targets to take away')
    .action(changeAlias);
  command('remove', 'remove an alias')
    .argument('<alias>', 'the address')
    .action((address: string, options: CommonOptions) => removeEntry('alias', address, options));
  command('list', 'all aliases').action(listAliases);
}
