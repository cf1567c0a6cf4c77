import type { UserEntry } from '#shared/directory/entries.ts';
import { addAppPassword } from '../../reports/people/passwords.ts';
import { type CommonOptions, print } from '../context.ts';
import { table } from '../table.ts';
import { CLUSTER, requireName, withDirectory } from './place.ts';

/** `sealpost users app-passwords`: passwords of the cluster's directory for one program each. */

export async function add(user: string, name: string, options: CommonOptions & { network?: string[] }): Promise<void> {
  const { network: networks = [] } = options;
  requireName(name);
  const made = await withDirectory(options, (store) => addAppPassword(store, { user, name, networks }));
  const text = made.reveal();
  print(options, { user, name, networks, password: text }, () =>
    [
      `app password ${name} of ${user}, in ${CLUSTER}:`,
      '',
      `    ${text}`,
      '',
      'It is shown only now. Log in as the user with it in place of the password; spaces, hyphens and case do not count.',
    ].join('\n'),
  );
}

export async function list(user: string, options: CommonOptions): Promise<void> {
  const { entry } = await withDirectory(options, (store) => store['entry-show']({ kind: 'user', name: user }));
  const appPasswords = entry.kind === 'user' ? entry.appPasswords : [];
  print(options, { user, appPasswords }, () => (appPasswords.length === 0 ? 'no app passwords' : listed(appPasswords)));
}

function listed(appPasswords: UserEntry['appPasswords']): string {
  return table(
    ['NAME', 'BEGINS', 'MADE', 'LAST USED', 'FROM'],
    appPasswords.map(({ name, tag, created, lastUsed, networks }) => [
      name,
      tag,
      new Date(created).toISOString().slice(0, 10),
      lastUsed ?? 'never',
      networks.length === 0 ? 'anywhere' : networks.join(', '),
    ]),
  );
}

export async function revoke(user: string, name: string, options: CommonOptions): Promise<void> {
  await withDirectory(options, (store) => store['app-password-revoke']({ user, name }));
  print(options, { user, name }, () => `revoked the app password ${name} of ${user} in ${CLUSTER}`);
}
