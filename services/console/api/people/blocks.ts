import { z } from 'zod';
import { BlockUser, UserParam } from '../../schemas/people.ts';
import { type Asked, route } from '../route.ts';
import { demandChange, userOf } from './bounds.ts';
import { storeOf } from './list.ts';

/** Users who log in nowhere. A block is by name: an operator of all domains may name a user of a users file or of LDAP too. */

const CHANGE = { access: 'operator', domains: 'filtered' } as const;
const Done = z.object({});

/** The store, once it is clear that the person may say so of whoever has the name. */
async function storeFor(context: Asked, name: string) {
  const store = storeOf(context);
  if (context.bounds.domains !== undefined) demandChange(context, await userOf(store, name));
  return store;
}

export const blockRoutes = [
  route({
    method: 'PUT',
    path: '/api/blocks/:user',
    summary: 'Block a user: no log-in on any node, and nothing more from sessions that are open',
    ...CHANGE,
    params: UserParam,
    body: BlockUser,
    reply: Done,
    handler: async (context) => {
      const { user: name } = context.params;
      const store = await storeFor(context, name);
      await store['user-block']({ name, reason: context.body.reason });
      return {};
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/blocks/:user',
    summary: 'Let a blocked user log in again',
    ...CHANGE,
    params: UserParam,
    reply: Done,
    handler: async (context) => {
      const { user: name } = context.params;
      await (await storeFor(context, name))['user-unblock']({ name });
      return {};
    },
  }),
];
