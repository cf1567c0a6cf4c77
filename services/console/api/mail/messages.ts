import { z } from 'zod';
import { routerContract } from '#services/router/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { timeOfQueueId } from '#shared/ids.ts';
import type { Clients } from '../../reports/clients.ts';
import { mostTelling } from '../../reports/mail/reader.ts';
import { findRouters, whereItIs, whereverItIs } from '../../reports/mail/routers.ts';
import { searchMail } from '../../reports/mail/search.ts';
import { readMessage } from '../../reports/mail/text.ts';
import { askWhy } from '../../reports/mail/why/ask.ts';
import { unknownExplained } from '../../reports/mail/why/sentence.ts';
import { MailState, MessageList, MessageReply, MessageText } from '../../schemas/messages.ts';
import { type Bounds, mayActAs } from '../access.ts';
import { type Asked, route } from '../route.ts';
import { clusterOf } from './cluster.ts';
import { isOwnToChange, ownMail } from './own-mail.ts';
import { rowOf } from './rows.ts';
import { toldMail } from './told.ts';

/** Mail of all nodes: found, followed on its way, and read. What is done with it: queue.ts. */

const moment = z.coerce.number().int().nonnegative();
const id = z.string().min(1).max(250);

const Search = z.strictObject({
  q: z.string().trim().min(1).max(1000).optional(),
  to: z.string().trim().min(1).max(1000).optional(),
  state: MailState.optional(),
  since: moment.optional(),
  until: moment.optional(),
  below: z
    .string()
    .regex(/^[0-9A-HJKMNP-TV-Z]{9}(?:[0-9A-HJKMNP-TV-Z]{7})?$/, 'not the `next` of an answer')
    .optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

/** Bytes of a text in one answer. */
const TEXT_BYTES = 256 * 1024;
/** Messages that are looked at together: mailboxes of routers are bounded. */
const TOGETHER = 20;

export const messageRoutes = [
  route({
    method: 'GET',
    path: '/api/messages',
    summary: 'Mail of all nodes that waits, has left or was refused: by queue id, Message-ID, address, domain or time',
    access: 'viewer',
    domains: 'filtered',
    query: Search,
    reply: MessageList,
    handler: async ({ clients, bounds, query: { q, ...search } }) => {
      const { found, next, silent, unreadable } = await searchMail(clusterOf(clients), {
        ...{ ...search, what: q, domains: bounds.domains },
      });
      return {
        rows: found.map(rowOf),
        ...(next !== undefined && { next, reached: timeOfQueueId(next) }),
        ...{ silent, unreadable },
      };
    },
  }),
  route({
    method: 'GET',
    path: '/api/messages/:id',
    summary: 'One message: why it is where it is, its recipients, and every step of its journey',
    access: 'viewer',
    domains: 'filtered',
    params: z.object({ id }),
    reply: MessageReply,
    handler: (context) => tellMessage(context, context.params.id),
  }),
  route({
    method: 'GET',
    path: '/api/messages/:id/text',
    summary:
      'The text of a message that waits, as it would be sent, without signatures; reading it is in the audit log',
    access: 'operator',
    domains: 'filtered',
    params: z.object({ id }),
    query: z.strictObject({ from: moment.default(0) }),
    reply: MessageText,
    handler: async ({ clients, bounds, params, query }) => {
      await demandOwn(clients, bounds, [params.id]);
      return readText(clients, params.id, query.from);
    },
  }),
];

/** Fails with `not-found` where nothing is known of it, or nothing that this person may know. */
export async function tellMessage({ clients, bounds, person }: Asked, id: string): Promise<MessageReply> {
  const { found, asked } = await askWhy(clusterOf(clients), id, 1);
  const facts = found[0] && ownMail(found[0], bounds);
  if (found[0] === undefined || facts === undefined) {
    // Of mail that is not hers, an administrator hears what she would of mail that never was.
    const where = 'in the mail of your domains: an operator of all domains may know more';
    const text = bounds.domains === undefined ? unknownExplained(asked).sentence : `nothing is known of ${id} ${where}`;
    throw new SealpostError('not-found', text);
  }
  const [whole] = found;
  const may = whole.kind === 'queued' && mayActAs(person, 'operator') && isOwnToChange(whole.entry, bounds);
  const queueId = 'entry' in facts ? facts.entry.queueId : id;
  return {
    ...toldMail(facts, queueId, Date.now()),
    may: { change: may, read: may },
    silent: asked.silent,
  };
}

async function readText(clients: Clients, queueId: string, from: number): Promise<z.output<typeof MessageText>> {
  const router = clients.client(routerContract);
  const routers = await findRouters(clusterOf(clients));
  const { node, total } = await whereItIs(routers, async (name) => {
    // Always from the start: that is what the audit log has.
    const { reply } = await router['message-read']({ queueId, offset: 0 }, { node: name });
    return { node: name, total: reply.total };
  });
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of readMessage(clients, queueId, { node, from })) {
    parts.push(bytes);
    size += bytes.length;
    if (size >= TEXT_BYTES) break;
  }
  const next = from + size;
  return { text: Buffer.concat(parts).toString('utf8'), total, ...(next < total && { next }) };
}

/** Fails with `not-found` where there is no such message in a queue for this person, with `forbidden` where others have a part in it. */
export async function demandOwn(clients: Clients, bounds: Bounds, ids: readonly string[]): Promise<void> {
  if (bounds.domains === undefined) return;
  const router = clients.client(routerContract);
  const routers = await findRouters(clusterOf(clients));
  const demand = async (queueId: string): Promise<void> => {
    const unknown = new SealpostError('not-found', `no queue has a message ${queueId} of your domains`);
    const answers = await whereverItIs(routers, (node) => router['message-show']({ queueId }, { node })).catch(
      (error: unknown) => Promise.reject(errorCode(error) === 'not-found' ? unknown : error),
    );
    const { entry, finished } = mostTelling(answers);
    if (finished || ownMail({ kind: 'queued', entry, queued: {} }, bounds) === undefined) throw unknown;
    if (isOwnToChange(entry, bounds)) return;
    const text = `message ${queueId} is also for recipients of other domains: ask an operator of all domains`;
    throw new SealpostError('forbidden', text);
  };
  for (let n = 0; n < ids.length; n += TOGETHER) await Promise.all(ids.slice(n, n + TOGETHER).map(demand));
}
