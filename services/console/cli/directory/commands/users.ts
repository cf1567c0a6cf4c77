import type { Command } from 'commander';
import { withCommon } from '../../context.ts';
import { add as addAppPassword, list as listAppPasswords, revoke } from '../app-passwords.ts';
import { block, unblock } from '../blocks.ts';
import { withPlace } from '../place.ts';
import { add, addresses, list, passwd, remove, show } from '../users.ts';

export function register(program: Command): void {
  const users = program
    .command('users')
    .description("users of the cluster's directory, or of the local users file where the configuration names one");
  const command = (name: string, text: string): Command => withPlace(users.command(name).description(text));
  const named = (name: string, text: string): Command =>
    command(name, text).argument('<name>', 'what the user logs in with');
  const asking = (name: string, text: string): Command =>
    named(name, text).option('--password-stdin', 'read the password from standard input');

  asking('add', 'add a user; asks for the password')
    .requiredOption(
      '-a, --address <address...>',
      'addresses of the user; also @domain or *, which the user may send as',
    )
    .option(
      '--on-behalf-of <address...>',
      'authors for whom the user may write, with an own address as Sender; also @domain or *',
    )
    .action(add);
  for (const name of ['set-password', 'passwd']) asking(name, 'set the password of a user').action(passwd);
  named('addresses', "show and change the addresses of a user of the cluster's directory")
    .option('--add <address...>', 'addresses, @domain or *, to add')
    .option('--remove <address...>', 'those to take away')
    .option('--add-on-behalf-of <address...>', 'authors for whom the user may write')
    .option('--remove-on-behalf-of <address...>', 'those for whom no longer')
    .action(addresses);
  named('remove', 'remove a user').action(remove);
  named('show', 'a user with all addresses and app passwords').action(show);
  command('list', 'all users, and who of them is blocked').action(list);
  registerBlocks(users);
  registerAppPasswords(users);
}

function registerBlocks(users: Command): void {
  const command = (name: string, text: string): Command =>
    withCommon(users.command(name).description(text)).argument('<name>', 'what the user logs in with');
  command('block', 'the user logs in nowhere and sends nothing, on all nodes; mail for the user still arrives')
    .option('--reason <text>', 'why, for administrators')
    .action(block);
  command('unblock', 'the passwords of the user are right again').action(unblock);
}

function registerAppPasswords(users: Command): void {
  const apps = users
    .command('app-passwords')
    .description("passwords of users of the cluster's directory for one program each");
  const command = (name: string, text: string): Command =>
    withCommon(apps.command(name).description(text)).argument('<user>', 'what the user logs in with');
  command('add', 'make one; it is shown once')
    .argument('<name>', 'what it is for')
    .option('--network <network...>', 'addresses and networks from which alone it is right')
    .action(addAppPassword);
  command('list', 'their names, networks and last uses').action(listAppPasswords);
  command('revoke', 'it is wrong from now on').argument('<name>', 'what it was for').action(revoke);
}
