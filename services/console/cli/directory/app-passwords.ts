import { hashPassword } from '#cluster/config/users/password.ts';
import { newAppPassword } from '#shared/directory/app-password.ts';
import type { UserEntry } from '#shared/directory/entries.ts';
import { errorCode } from '#shared/errors.ts';
import { type CommonOptions, print } from '../context.ts';
import { table } from '../table.ts';
import { CLUSTER, requireName, sealedHash, withDirectory } from './place.ts';

/** `sealpost users app-passwords`: passwords of the cluster's directory for one program each. */

/** Two that begin alike are rare, so a second one is tried. */
const TRIES = 5;

export async function add(user: string, name: string, options: CommonOptions & { network?: string[] }): Promise<void> {
  const { network: networks = [] } = options;
  requireName(name);
  const { text } = await withDirectory(options, async (store) => {
    const key = await store['sealing-key-show']({});
    for (let attempt = 1; ; attempt++) {
      const { tag, text } = newAppPassword();
      const password = sealedHash(key, await hashPassword(text), { user, tag });
      try {
        await store['app-password-create']({ user, name, tag, networks, password });
        return { text };
      } catch (error) {
        if (errorCode(error) !== 'exists' || attempt === TRIES || (await hasName(user, name))) throw error;
      }
    }
    async function hasName(of: string, wanted: string): Promise<boolean> {
      const { entry } = await store['entry-show']({ kind: 'user', name: of });
      return entry.kind === 'user' && entry.appPasswords.some((one) => one.name.toLowerCase() === wanted.toLowerCase());
    }
  });
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
