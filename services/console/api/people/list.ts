import { listUsers } from '#cluster/config/users/edit.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { userKey } from '#shared/directory/values.ts';
import { errorText } from '#shared/errors.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { allBlocks, byName } from '../../reports/people/blocks.ts';
import { allEntries, isEmpty } from '../../reports/people/entries.ts';
import type { UserListed, UserListReply } from '../../schemas/people.ts';
import type { Asked } from '../route.ts';
import { isHers } from './bounds.ts';

/** Who there is, as far as that can be listed. */

export const storeOf = ({ clients }: Asked): CredentialStore => clients.client(credentialStoreContract);

export async function everyone(context: Asked): Promise<UserListReply> {
  const { users: path, ldap } = context.config.directory;
  const store = storeOf(context);
  const [{ entries, node, behind }, blocks, local] = await Promise.all([
    allEntries(store, 'user'),
    allBlocks(store),
    path === undefined ? undefined : usersOfFile(path),
  ]);
  const cluster = entries.map((entry): UserListed => ({ ...entry, place: 'cluster' }));
  const known = byName(blocks);
  const all = [...cluster, ...(local?.users ?? [])].map((user): UserListed => {
    const blocked = known.get(userKey(user.name)) ?? user.blocked;
    return blocked === undefined ? user : { ...user, blocked };
  });
  const listed = new Set(all.map(({ name }) => userKey(name)));
  return {
    node,
    behind,
    users: all.filter((user) => isHers(context, user)),
    blocked: context.bounds.domains === undefined ? blocks.filter(({ name }) => !listed.has(userKey(name))) : [],
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
