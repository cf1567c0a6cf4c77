import { z } from 'zod';
import { userKey } from '#shared/directory/values.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { describeError } from '../../reports/describe-error.ts';
import { askPolicies, type LocksFound } from '../../reports/people/locks.ts';
import { LockLift, LocksReply } from '../../schemas/people.ts';
import { type Asked, route } from '../route.ts';
import { everyone } from './list.ts';

/** Locks of log-ins: seen, and lifted on all nodes. */

function shown({ locks, more, silent }: LocksFound): LocksReply {
  const now = Date.now();
  return {
    locks: locks.map(({ opensMs, ...lock }) => ({ ...lock, opens: now + opensMs })),
    more,
    silent: silent.map(({ node, error }) => ({
      node,
      reason: error instanceof SealpostError ? describeError(error) : errorText(error),
    })),
  };
}

/** Which names are those of users that the person sees; undefined: any, and networks too. */
async function herUsers(context: Asked): Promise<Set<string> | undefined> {
  if (context.bounds.domains === undefined) return undefined;
  return new Set((await everyone(context)).users.map(({ name }) => userKey(name)));
}

export const lockRoutes = [
  route({
    method: 'GET',
    path: '/api/locks',
    summary: 'Users and networks for which no password is looked at after too many failures, on all nodes',
    access: 'viewer',
    domains: 'filtered',
    reply: LocksReply,
    handler: async (context) => {
      const [found, hers] = await Promise.all([askPolicies(context.clients, 'lock-list', {}), herUsers(context)]);
      if (hers === undefined) return shown(found);
      const locks = found.locks.filter(({ user }) => user !== undefined && hers.has(userKey(user)));
      return shown({ ...found, locks, more: 0 });
    },
  }),
  route({
    method: 'POST',
    path: '/api/locks/lift',
    summary: 'Open locks on all nodes: failures count from nothing again',
    access: 'operator',
    domains: 'filtered',
    body: LockLift,
    reply: z.object({ silent: LocksReply.shape.silent }),
    handler: async (context) => {
      const { user, network } = context.body;
      const hers = await herUsers(context);
      if (hers !== undefined && (user === undefined || !hers.has(userKey(user)))) {
        throw new SealpostError('forbidden', 'you open locks of users of your domains: name one of them');
      }
      return { silent: shown(await askPolicies(context.clients, 'lock-lift', { user, network })).silent };
    },
  }),
];
