import { z } from 'zod';
import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { allBlocks, byName } from '../../reports/people/blocks.ts';
import { addAppPassword, sealedPassword } from '../../reports/people/passwords.ts';
import {
  AppPasswordMade,
  AppPasswordParam,
  NewAddresses,
  NewAppPassword,
  NewPassword,
  NewUser,
  UserListed,
  UserListReply,
  UserParam,
} from '../../schemas/people.ts';
import { type Asked, route } from '../route.ts';
import { blockRoutes } from './blocks.ts';
import { demandChange, demandSeen, userOf } from './bounds.ts';
import { everyone, storeOf } from './list.ts';
import { listRoutes } from './lists.ts';
import { lockRoutes } from './locks.ts';

/**
 * People: users and their passwords, aliases and groups, locks. Changes are those of the cluster's directory; users files
 * and LDAP servers are changed where they are.
 */

const CHANGE = { access: 'operator', domains: 'filtered' } as const;
const LOOK = { access: 'viewer', domains: 'filtered' } as const;
const Done = z.object({});

/** The store, once it is clear that the person may change this user. */
async function storeFor(context: Asked, name: string) {
  const store = storeOf(context);
  demandChange(context, await userOf(store, name));
  return store;
}

/** A block may be of a user of LDAP or of a users file: as the one who made another user of that name she could lift it. */
async function demandUnblocked({ bounds }: Asked, store: CredentialStore, name: string): Promise<void> {
  if (bounds.domains === undefined || !byName(await allBlocks(store)).has(userKey(name))) return;
  throw new SealpostError('forbidden', `the name ${name} is blocked: ask an operator of all domains`);
}

const userRoutes = [
  route({
    method: 'GET',
    path: '/api/users',
    summary: 'Every user that can be listed: of the cluster’s directory, and of the users file of this node',
    ...LOOK,
    reply: UserListReply,
    handler: everyone,
  }),
  route({
    method: 'GET',
    path: '/api/users/:user',
    summary: 'A user of the cluster’s directory, with the names of the app passwords',
    ...LOOK,
    params: UserParam,
    reply: UserListed,
    handler: async (context): Promise<UserListed> => {
      const store = storeOf(context);
      const user = await userOf(store, context.params.user);
      demandSeen(context, user);
      const blocked = byName(await allBlocks(store)).get(userKey(user.name));
      return { ...user, place: 'cluster', ...(blocked && { blocked }) };
    },
  }),
  route({
    method: 'POST',
    path: '/api/users',
    summary: 'Add a user to the cluster’s directory',
    ...CHANGE,
    body: NewUser,
    reply: Done,
    handler: async (context) => {
      const { name, password, addresses, onBehalfOf } = context.body;
      demandChange(context, context.body);
      const store = storeOf(context);
      await demandUnblocked(context, store, name);
      const sealed = await sealedPassword(store, new Secret(password), { user: name });
      const lists = { addresses: { set: addresses }, onBehalfOf: { set: onBehalfOf } };
      await store['user-create']({ name, password: sealed, ...lists });
      return {};
    },
  }),
  route({
    method: 'PUT',
    path: '/api/users/:user/addresses',
    summary: 'What a user receives, and may send as',
    ...CHANGE,
    params: UserParam,
    body: NewAddresses,
    reply: Done,
    handler: async (context) => {
      const { user: name } = context.params;
      const { addresses, onBehalfOf } = context.body;
      const store = await storeFor(context, name);
      demandChange(context, { name, addresses, onBehalfOf });
      await store['user-change']({ name, addresses: { set: addresses }, onBehalfOf: { set: onBehalfOf } });
      return {};
    },
  }),
  route({
    method: 'PUT',
    path: '/api/users/:user/password',
    summary: 'A new password in place of the old one',
    ...CHANGE,
    params: UserParam,
    body: NewPassword,
    reply: Done,
    handler: async (context) => {
      const { user: name } = context.params;
      const store = await storeFor(context, name);
      const password = await sealedPassword(store, new Secret(context.body.password), { user: name });
      await store['user-change']({ name, password });
      return {};
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/users/:user',
    summary: 'Remove a user from the cluster’s directory, with all passwords',
    ...CHANGE,
    params: UserParam,
    reply: Done,
    handler: async (context) => {
      const { user: name } = context.params;
      const store = await storeFor(context, name);
      await store['entry-delete']({ kind: 'user', name });
      return {};
    },
  }),
];

const appPasswordRoutes = [
  route({
    method: 'POST',
    path: '/api/users/:user/app-passwords',
    summary: 'Make a password for one program of a user. It is told this once',
    ...CHANGE,
    params: UserParam,
    body: NewAppPassword,
    reply: AppPasswordMade,
    handler: async (context) => {
      const { user } = context.params;
      const store = await storeFor(context, user);
      return { password: (await addAppPassword(store, { user, ...context.body })).reveal() };
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/users/:user/app-passwords/:name',
    summary: 'Revoke an app password',
    ...CHANGE,
    params: AppPasswordParam,
    reply: Done,
    handler: async (context) => {
      const { user, name } = context.params;
      const store = await storeFor(context, user);
      await store['app-password-revoke']({ user, name });
      return {};
    },
  }),
];

export const peopleRoutes = [...userRoutes, ...blockRoutes, ...appPasswordRoutes, ...listRoutes, ...lockRoutes];
