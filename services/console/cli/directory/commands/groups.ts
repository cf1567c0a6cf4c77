import type { Command } from 'commander';
import { type CommonOptions, withCommon } from '../../context.ts';
import { addGroup, groupMembers, listGroups, removeEntry } from '../lists.ts';

export function register(program: Command): void {
  const groups = program.command('groups').description("groups of the cluster's directory");
  const command = (name: string, text: string): Command => withCommon(groups.command(name).description(text));
  command('add', 'make a group')
    .argument('<name>', 'what it is called')
    .argument('[member...]', 'addresses, and names of users and other groups')
    .option('--address <address...>', 'where mail for its members goes to')
    .action(addGroup);
  command('members', 'show and change the members of a group')
    .argument('<name>', 'what it is called')
    .option('--add <member...>', 'members to add')
    .option('--remove <member...>', 'members to take away')
    .option('--add-address <address...>', 'addresses of the group to add')
    .option('--remove-address <address...>', 'addresses of the group to take away')
    .action(groupMembers);
  command('remove', 'remove a group')
    .argument('<name>', 'what it is called')
    .action((name: string, options: CommonOptions) => removeEntry('group', name, options));
  command('list', 'all groups').action(listGroups);
}
