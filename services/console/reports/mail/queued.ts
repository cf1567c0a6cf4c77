import type { z } from 'zod';
import { routerContract } from '#services/router/contract.ts';
import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import { type QueueFilter, testOf } from '#shared/queue/filter.ts';
import type { Clients } from '../clients.ts';

/** Mail in the queues of routers, read page by page, so that a long queue begins to print immediately. */

export type Entry = z.output<typeof QueueEntry>;

/** The first page is small: what a person waits for. */
const PAGES = { first: 100, rest: 500 };

/** What is in the queues of these nodes, oldest first. A node that does not answer is told to `onSilent` and left out. */
export async function* queued(
  clients: Clients,
  nodes: readonly string[],
  filter: QueueFilter,
  onSilent: (node: string, error: unknown) => void,
): AsyncGenerator<Entry> {
  const queues = nodes.map((node) => answered(queueOf(clients, node, filter), (error) => onSilent(node, error)));
  const heads = await Promise.all(queues.map(headOf));
  for (;;) {
    const waiting = heads.filter(({ entry }) => entry !== undefined);
    const [first, ...others] = waiting;
    if (first === undefined) return;
    // Queue ids grow with time.
    const oldest = others.reduce((a, b) => (idOf(a) <= idOf(b) ? a : b), first);
    if (oldest.entry !== undefined) yield oldest.entry;
    oldest.entry = (await headOf(oldest.queue)).entry;
  }
}

type Queue = AsyncGenerator<Entry, undefined>;
type Head = { queue: Queue; entry: Entry | undefined };

async function headOf(queue: Queue): Promise<Head> {
  return { queue, entry: (await queue.next()).value };
}

const idOf = ({ entry }: Head): string => entry?.queueId ?? '';

async function* answered(queue: Queue, onError: (error: unknown) => void): Queue {
  try {
    yield* queue;
  } catch (error) {
    onError(error);
  }
  return undefined;
}

async function* queueOf(clients: Clients, node: string, filter: QueueFilter): Queue {
  const router = clients.client(routerContract);
  const isMeant = testOf(filter);
  for (let after: string | undefined, limit = PAGES.first; ; limit = PAGES.rest) {
    const request = { ...filter, limit, ...(after !== undefined && { after }) };
    const page = await router['message-list'](request, { node });
    // A router of the version before knows the state and the domain alone.
    yield* page.entries.filter((entry) => isMeant(entry, ({ nextHop }) => nextHop));
    if (page.next === undefined) return undefined;
    after = page.next;
  }
}
