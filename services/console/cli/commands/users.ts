import type { Command } from 'commander';
import { addUser, listUsers, removeUser, setPassword } from '#cluster/config/users/edit.ts';
import { SealpostError } from '#shared/errors.ts';
import { type CommonOptions, print, readConfig, withCommon } from '../context.ts';
import { usageError } from '../exit.ts';
import { askPassword } from '../password.ts';
import { table } from '../table.ts';

type PasswordOptions = CommonOptions & { passwordStdin?: boolean };
type AddOptions = PasswordOptions & { address: string[]; onBehalfOf?: string[] };

export function register(program: Command): void {
  const users = program.command('users').description('edit the users file; a running node follows it');
  const command = (name: string, text: string): Command => withCommon(users.command(name).description(text));
  const asking = (name: string, text: string): Command =>
    command(name, text)
      .argument('<name>', 'what the user logs in with')
      .option('--password-stdin', 'read the password from standard input');

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
  asking('passwd', 'set the password of a user').action(passwd);
  command('remove', 'remove a user').argument('<name>', 'what the user logs in with').action(remove);
  command('list', 'all users').action(list);
}

async function usersFile(options: CommonOptions): Promise<string> {
  const { directory } = await readConfig(options, ['directory']);
  if (directory.users !== undefined) return directory.users;
  throw new SealpostError(
    'no-users-file',
    'the configuration names no users file: add directory: { users: ./users.yaml }',
  );
}

async function add(name: string, options: AddOptions): Promise<void> {
  const file = await usersFile(options);
  if (name.startsWith('-')) throw usageError(`"${name}" is not a user name`);
  const password = await askPassword(`Password of ${name}`, { fromStdin: options.passwordStdin ?? false, twice: true });
  const { address: addresses, onBehalfOf = [] } = options;
  await addUser(file, { name, password, addresses, onBehalfOf });
  print(options, { name, addresses, onBehalfOf, file }, () => `added user ${name} to ${file}`);
}

async function passwd(name: string, options: PasswordOptions): Promise<void> {
  const file = await usersFile(options);
  const prompt = `New password of ${name}`;
  const password = await askPassword(prompt, { fromStdin: options.passwordStdin ?? false, twice: true });
  await setPassword(file, name, password);
  print(options, { name, file }, () => `changed the password of ${name} in ${file}`);
}

async function remove(name: string, options: CommonOptions): Promise<void> {
  const file = await usersFile(options);
  await removeUser(file, name);
  print(options, { name, file }, () => `removed user ${name} from ${file}`);
}

async function list(options: CommonOptions): Promise<void> {
  const users = await listUsers(await usersFile(options));
  print(options, { users }, () =>
    users.length === 0
      ? 'no users'
      : table(
          ['NAME', 'ADDRESSES', 'ON BEHALF OF'],
          users.map((u) => [u.name, u.addresses.join(', '), u.onBehalfOf.join(', ')]),
        ),
  );
}
