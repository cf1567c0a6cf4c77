import { errorText, SealpostError } from '#shared/errors.ts';
import { type Change, changeParts, newPart, type Part } from '../../reports/mail/change.ts';
import { findRouters, unheard } from '../../reports/mail/routers.ts';
import { ChangeReply, ChangeRequest } from '../../schemas/queue.ts';
import { route } from '../route.ts';
import { clusterOf } from './cluster.ts';
import { demandOwn } from './messages.ts';

/** What is done with mail of the queues: one message, several, or all that a filter means. */

/** After so long an answer says how far it is, and the next request goes on. */
const WORK_MS = 2000;

export const queueRoutes = [
  route({
    method: 'POST',
    path: '/api/queue/change',
    summary: 'Retry, hold, release, remove, bounce or reroute mail of all queues, or only count it (dryRun)',
    access: 'operator',
    domains: 'filtered',
    body: ChangeRequest,
    reply: ChangeReply,
    handler: async ({ clients, bounds, person, signal, body }) => {
      const { filter, all, places, ...others } = body;
      const isNamed = Object.keys(filter).length > 0;
      if (isNamed === (all === true))
        throw new SealpostError('malformed', 'say which mail: a condition in filter, or all: true for all of it');
      if (bounds.domains !== undefined) {
        if (filter.ids === undefined)
          throw new SealpostError('forbidden', 'mail is changed by its queue ids: ask an operator of all domains');
        // Also to hosts inside, which take mail of this machine alone.
        if (others.operation === 'reroute')
          throw new SealpostError('forbidden', 'mail is sent another way by operators of all domains');
        await demandOwn(clients, bounds, filter.ids);
      }
      const cluster = clusterOf(clients);
      const routers = await findRouters(cluster);
      const parts = routers.up.flatMap((node): Part[] => {
        const place = places?.find((one) => one.node === node);
        // A node that came back meanwhile was not counted.
        if (places !== undefined && place === undefined) return [];
        return [{ ...newPart(node), ...place }];
      });
      const change: Change & { dryRun: boolean } = { ...others, filter, by: person.name };
      const end = performance.now() + WORK_MS;
      const stopped = (): boolean => signal.aborted || performance.now() > end;
      await changeParts(cluster, change, parts, { stopped, onPage: () => undefined });
      return replyOf(change, parts, routers.silent);
    },
  }),
];

function replyOf({ filter }: Change, parts: readonly Part[], unheardOf: readonly string[]): ChangeReply {
  const failed = parts.filter(({ error }) => error !== undefined);
  const [first] = failed;
  if (first !== undefined && failed.length === parts.length && parts.every(({ count }) => count === 0))
    throw first.error;
  const silent = [
    ...failed.map(({ node, error }) => ({ node, error: errorText(error) })),
    ...unheardOf.map((node) => ({ node, error: errorText(unheard()) })),
  ];
  const answered = parts.filter(({ error }) => error === undefined);
  const missing = (filter.ids ?? []).flatMap((id) => {
    const reasons = answered.map((part) => part.missing.find((one) => one.id === id)?.reason);
    const isMissing = reasons.length > 0 && reasons.every((reason) => reason !== undefined);
    return isMissing ? [{ id, reason: reasons[0] ?? '' }] : [];
  });
  return {
    count: parts.reduce((sum, { count }) => sum + count, 0),
    nodes: parts.map(({ node, count }) => ({ node, count })),
    done: answered.every(({ done }) => done),
    places: answered.map(({ node, after, until, done }) => ({
      ...{ node, done },
      ...(after !== undefined && { after }),
      ...(until !== undefined && { until }),
    })),
    ...{ missing, silent },
  };
}
