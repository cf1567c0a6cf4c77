import { addUser, listUsers, removeUser, setPassword } from '#cluster/config/users/edit.ts';
import type { UserEntry } from '#shared/directory/entries.ts';
import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';
import { sealedPassword } from '../../reports/people/passwords.ts';
import { print } from '../context.ts';
import { usageError } from '../exit.ts';
import { askPassword } from '../password.ts';
import { table } from '../table.ts';
import { type BlockOf, blockedText, withBlocks } from './blocks.ts';
import {
  CLUSTER,
  listChange,
  listEntries,
  localFile,
  localPlace,
  type PlaceOptions,
  requireName,
  tellOfFirst,
  withDirectory,
} from './place.ts';

/** `sealpost users`: in the users file of this node where the configuration names one, else in the cluster's directory. */

export type PasswordOptions = PlaceOptions & { passwordStdin?: boolean };
export type AddOptions = PasswordOptions & { address: string[]; onBehalfOf?: string[] };

export async function add(name: string, options: AddOptions): Promise<void> {
  const file = await localFile(options);
  requireName(name);
  const password = await ask(`Password of ${name}`, options);
  const { address: addresses, onBehalfOf = [] } = options;
  const made = { name, addresses, onBehalfOf };
  if (file !== undefined) {
    await addUser(file, { ...made, password });
    print(options, { ...made, place: 'file', file }, () => `added user ${name} to ${localPlace(file)}`);
    return;
  }
  const { entry } = await withDirectory(options, async (store) => {
    const sealed = await sealedPassword(store, password, { user: name });
    await tellOfFirst(store);
    const lists = { addresses: { set: addresses }, onBehalfOf: { set: onBehalfOf } };
    return store['user-create']({ name, password: sealed, ...lists });
  });
  print(options, { ...entry, place: 'cluster' }, () => `added user ${name} to ${CLUSTER}`);
}

export async function passwd(name: string, options: PasswordOptions): Promise<void> {
  const file = await localFile(options);
  const password = await ask(`New password of ${name}`, options);
  if (file !== undefined) {
    await setPassword(file, name, password);
    print(options, { name, place: 'file', file }, () => `changed the password of ${name} in ${localPlace(file)}`);
    return;
  }
  await withDirectory(options, async (store) =>
    store['user-change']({ name, password: await sealedPassword(store, password, { user: name }) }),
  );
  print(options, { name, place: 'cluster' }, () => `changed the password of ${name} in ${CLUSTER}`);
}

const ask = (prompt: string, { passwordStdin = false }: PasswordOptions): Promise<Secret> =>
  askPassword(prompt, { fromStdin: passwordStdin, twice: true });

export async function remove(name: string, options: PlaceOptions): Promise<void> {
  const file = await localFile(options);
  if (file !== undefined) {
    await removeUser(file, name);
    print(options, { name, place: 'file', file }, () => `removed user ${name} from ${localPlace(file)}`);
    return;
  }
  await withDirectory(options, (store) => store['entry-delete']({ kind: 'user', name }));
  print(options, { name, place: 'cluster' }, () => `removed user ${name} from ${CLUSTER}`);
}

type Summary = {
  name: string;
  addresses: string[];
  onBehalfOf: string[];
  appPasswords?: UserEntry['appPasswords'];
  blocked?: BlockOf;
};

export async function list(options: PlaceOptions): Promise<void> {
  const file = await localFile(options);
  if (file !== undefined) {
    const users = await withBlocks(await listUsers(file), options);
    print(options, { users, place: 'file', file }, () => `${usersTable(users)}\nin ${localPlace(file)}`);
    return;
  }
  const listed = await withDirectory(options, (store) => listEntries(store, 'user'));
  const users = await withBlocks(listed, options);
  print(options, { users, place: 'cluster' }, () => `${usersTable(users)}\nin ${CLUSTER}`);
}

function usersTable(users: readonly Summary[]): string {
  if (users.length === 0) return 'no users';
  return table(
    ['NAME', 'ADDRESSES', 'ON BEHALF OF', 'BLOCKED'],
    users.map((u) => [
      ...[u.name, u.addresses.join(', '), u.onBehalfOf.join(', ')],
      u.blocked === undefined ? '' : blockedText(u.blocked),
    ]),
  );
}

export async function show(name: string, options: PlaceOptions): Promise<void> {
  const file = await localFile(options);
  if (file !== undefined) {
    const found = (await listUsers(file)).filter((one) => userKey(one.name) === userKey(name));
    const [user] = await withBlocks(found, options);
    if (user === undefined) throw new SealpostError('not-found', `there is no user ${name} in ${localPlace(file)}`);
    print(options, { ...user, place: 'file', file }, () => `${describe(user)}\nin ${localPlace(file)}`);
    return;
  }
  const { entry } = await withDirectory(options, (store) => store['entry-show']({ kind: 'user', name }));
  if (entry.kind !== 'user') return;
  const [user = entry] = await withBlocks([entry], options);
  print(options, { ...user, place: 'cluster' }, () => `${describe(user)}\nin ${CLUSTER}`);
}

function describe({ name, addresses, onBehalfOf, appPasswords = [], blocked }: Summary): string {
  return table(
    ['USER', name],
    [
      ...(blocked === undefined ? [] : [['blocked', blockedText(blocked)]]),
      ['addresses', addresses.join(', ')],
      ['on behalf of', onBehalfOf.join(', ')],
      ...appPasswords.map((one, i) => [i === 0 ? 'app passwords' : '', appPasswordText(one)]),
    ],
  );
}

export function appPasswordText({ name, tag, networks, created, lastUsed }: UserEntry['appPasswords'][number]): string {
  const day = new Date(created).toISOString().slice(0, 10);
  const from = networks.length === 0 ? '' : `, from ${networks.join(', ')}`;
  return `${name} (${tag}-…), made ${day}, ${lastUsed === undefined ? 'never used' : `used ${lastUsed}`}${from}`;
}

export type AddressOptions = PlaceOptions & {
  add?: string[];
  remove?: string[];
  addOnBehalfOf?: string[];
  removeOnBehalfOf?: string[];
};

export async function addresses(name: string, options: AddressOptions): Promise<void> {
  const file = await localFile(options);
  if (file !== undefined) {
    throw usageError(`${localPlace(file)} is edited by hand: change the addresses of ${name} there, or name --cluster`);
  }
  const own = listChange(options.add, options.remove);
  const others = listChange(options.addOnBehalfOf, options.removeOnBehalfOf);
  const { entry } = await withDirectory(options, (store) =>
    own === undefined && others === undefined
      ? store['entry-show']({ kind: 'user', name })
      : store['user-change']({ name, ...(own && { addresses: own }), ...(others && { onBehalfOf: others }) }),
  );
  if (entry.kind !== 'user') return;
  print(options, { ...entry, place: 'cluster' }, () => `${describe(entry)}\nin ${CLUSTER}`);
}
