import { z } from 'zod';
import { isPlainVia } from '#cluster/config/schema/route.ts';
import { routerContract } from '#services/router/contract.ts';
import { isSameOrSubdomain } from '#shared/address/address.ts';
import type { Directive } from '#shared/directive.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { QueueState } from '#shared/mail/queue-entry.ts';
import { formatReply } from '#shared/mail/reply.ts';
import type { QueueGroup as Counted } from '#shared/queue/summary.ts';
import type { Clients } from '../../reports/clients.ts';
import { directivesInForce, heard } from '../../reports/mail/directives.ts';
import { askEach, findRouters, type Routers } from '../../reports/mail/routers.ts';
import { groupsOf, merged } from '../../reports/mail/summary.ts';
import {
  DirectiveEnd,
  DirectiveReply,
  DirectiveRequest,
  GroupedBy,
  type QueueGroup,
  QueueGroups,
} from '../../schemas/queue.ts';
import { route } from '../route.ts';
import { clusterOf } from './cluster.ts';

/** Where the mail of all queues waits for, why, and what operators tell all routers about it. */

const MOST_GROUPS = 2000;

export const destinationRoutes = [
  route({
    method: 'GET',
    path: '/api/destinations',
    summary: 'How much mail waits on all nodes, by destination, last reply, sender, node or what holds it',
    access: 'viewer',
    domains: 'filtered',
    query: z.strictObject({
      by: GroupedBy.default('destination'),
      state: QueueState.optional(),
      domain: z.string().min(1).max(255).optional(),
      reply: z.string().min(1).max(1000).optional(),
      /** `<>` is the null reverse-path. */
      sender: z
        .string()
        .min(1)
        .max(1000)
        .transform((sender) => (sender === '<>' ? '' : sender))
        .optional(),
      limit: z.coerce.number().int().min(1).max(MOST_GROUPS).default(1000),
    }),
    reply: QueueGroups,
    handler: async ({ clients, bounds, query: { by, limit, ...filter } }) => {
      const { domains } = bounds;
      const began = performance.now();
      const routers = await findRouters(clusterOf(clients));
      const silent: QueueGroups['silent'] = [];
      const onSilent = (node: string, error: unknown): unknown => silent.push({ node, error: errorText(error) });
      const [parts, directives] = await Promise.all([
        askEach(routers, (node) => groupsOf(clients, node, { by, filter, domains }), onSilent),
        inForce(clients, routers),
      ]);
      const groups = merged(parts.flat());
      return {
        by,
        groups: groups.slice(0, limit).map((group) => shownGroup(group, by === 'destination' ? directives : [])),
        total: { groups: groups.length, messages: groups.reduce((sum, { messages }) => sum + messages, 0) },
        // Another domain's suspension is told where mail of hers waits for it, and not beside that.
        directives: directives.filter(
          ({ about, name }) => domains === undefined || (about === 'domain' && bounds.has(name)),
        ),
        ...{ silent, took: Math.round(performance.now() - began) },
      };
    },
  }),
  route({
    method: 'POST',
    path: '/api/directives',
    summary:
      'Suspend mail to a domain or next hop, or of a sender, or redirect that to a domain, on all nodes for a time',
    access: 'operator',
    body: DirectiveRequest,
    reply: DirectiveReply,
    handler: async ({ clients, person, body }) => {
      const { kind, about, via } = body;
      if ((kind === 'redirect') !== (via !== undefined))
        throw new SealpostError('malformed', 'a redirect says where the mail goes (via), and nothing else does');
      if (kind === 'redirect' && about !== 'domain')
        throw new SealpostError('malformed', 'only the mail to a domain can be redirected');
      if (via !== undefined && !isPlainVia(via))
        throw new SealpostError('malformed', 'via is smtp://host, smtps://host or lmtp://host, without a user, or mx');
      return told(clients, (node) =>
        clients.client(routerContract)['directive-set']({ ...body, by: person.name }, { node }),
      );
    },
  }),
  route({
    method: 'POST',
    path: '/api/directives/end',
    summary: 'End that: resume suspended mail, or send redirected mail where the routes say',
    access: 'operator',
    body: DirectiveEnd,
    reply: DirectiveReply,
    handler: ({ clients, person, body }) =>
      told(clients, async (node) => {
        const request = { ...body, by: person.name };
        const { directive } = await clients.client(routerContract)['directive-end'](request, { node });
        return { directive: { ...directive, ended: true } };
      }),
  }),
];

/** One router is told; the answer waits a moment until the others have heard of it. */
async function told(clients: Clients, tell: (node: string) => Promise<{ directive: Directive }>) {
  const routers = await findRouters(clusterOf(clients));
  const { directive } = await tell(routers.up[0] ?? '');
  return { directive, lacking: await heard(clients, routers, directive, () => undefined) };
}

/** What the first router that answers has. */
async function inForce(clients: Clients, { up }: Routers): Promise<Directive[]> {
  const now = Date.now();
  return Promise.any(up.map((node) => directivesInForce(clients, node, now))).catch(() => []);
}

function shownGroup({ last, backoff, held = 0, ...group }: Counted, directives: readonly Directive[]): QueueGroup {
  const about = (kind: Directive['kind']): Directive | undefined =>
    directives.find((one) => one.kind === kind && one.about === 'domain' && isSameOrSubdomain(group.key, one.name));
  const suspended = about('suspend');
  const redirected = about('redirect');
  return {
    ...{ ...group, held },
    ...(last !== undefined && { last: { ...last, reply: formatReply(last.reply) } }),
    ...(backoff !== undefined && { backoff: { ...backoff, reply: formatReply(backoff.reply) } }),
    ...(suspended !== undefined && { suspended }),
    ...(redirected !== undefined && { redirected }),
  };
}
