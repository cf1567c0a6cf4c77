import { listUsers } from '#cluster/config/users/edit.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { errorText } from '#shared/errors.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { allEntries, isEmpty } from '../../reports/people/entries.ts';
import type { ListsReply, UserListed, UserListReply } from '../../schemas/people.ts';
import type { Asked } from '../route.ts';
import { isHers } from './bounds.ts';

/** Who there is, as far as that can be listed. */

export const storeOf = ({ clients }: Asked): CredentialStore => clients.client(credentialStoreContract);

export async function everyone(context: Asked): Promise<UserListReply> {
  const { users: path, ldap } = context.config.directory;
  const store = storeOf(context);
  const [{ entries, node, behind }, local] = await Promise.all([
    allEntries(store, 'user'),
    path === undefined ? undefined : usersOfFile(path),
  ]);
  const cluster = entries.map((entry): UserListed => ({ ...entry, place: 'cluster' }));
  return {
    node,
    behind,
    users: [...cluster, ...(local?.users ?? [])].filter((user) => isHers(context, user)),
    ...(local && { file: local.file }),
    ldap: ldap?.urls ?? [],
    first: entries.length === 0 && (await isEmpty(store)),
  };
}

type OfFile = { users: UserListed[]; file: NonNullable<UserListReply['file']> };

async function usersOfFile(path: string): Promise<OfFile> {
  try {
    const users = await listUsers(path);
    return {
      users: users.map((user) => ({ ...user, place: 'file', hasPassword: true, appPasswords: [] })),
      file: { path },
    };
  } catch (error) {
    return { users: [], file: { path, problem: errorText(error) } };
  }
}

export async function lists(context: Asked): Promise<ListsReply> {
  const { bounds } = context;
  const store = storeOf(context);
  const [aliases, groups] = await Promise.all([allEntries(store, 'alias'), allEntries(store, 'group')]);
  return {
    aliases: aliases.entries.filter(({ address }) => bounds.hasAddress(address)),
    // A group without addresses is one of the whole cluster.
    groups: groups.entries.filter(
      ({ addresses }) =>
        bounds.domains === undefined ||
        (addresses.length > 0 && addresses.every((address) => bounds.hasAddress(address))),
    ),
  };
}
