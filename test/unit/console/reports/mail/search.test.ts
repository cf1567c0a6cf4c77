import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Cluster } from '#services/console/reports/clients.ts';
import { type MailSearch, searchMail } from '#services/console/reports/mail/search.ts';
import type { RefusedMail } from '#services/listener/contract.ts';
import { queueIdFloor } from '#shared/ids.ts';
import type { FoundMessage } from '#shared/mail/message-search.ts';
import { reply } from '#shared/mail/reply.ts';

/** Pages of what several nodes answer, each in its own time. */

const at = (ms: number): number => 1_796_000_000_000 + ms;
const idOf = (ms: number, n = 0): string => `${queueIdFloor(at(ms))}00AAAA${n}`;

function message(node: string, id: string, to = 'bob@mine.example'): FoundMessage {
  const recipients = [{ address: to, state: 'delivered' }];
  const rest = { state: 'finished' as const, arrived: at(0), size: 1, reversePath: '', counts: { delivered: 1 } };
  return { queueId: id, node, recipients, ...rest };
}

const refusal = (ms: number, from: string): RefusedMail => ({
  ...{ at: at(ms), first: at(ms), count: 1, listener: 'mx', client: { address: '192.0.2.1' }, step: 'MAIL', from },
  ...{ to: [], recipients: 0, reply: reply(550, '5.7.1', 'no') },
});

type Node = {
  messages?: FoundMessage[];
  refusals?: RefusedMail[];
  /** Most messages of a page, as where there is much work. */
  page?: number;
  error?: Error;
};

function cluster(nodes: Record<string, Node>): Cluster {
  const router = async (
    { below = '~', limit }: { below?: string; limit: number },
    { node }: { node: string },
  ): Promise<unknown> => {
    const { messages = [], page = limit, error } = nodes[node] ?? {};
    if (error !== undefined) throw error;
    const all = messages.filter(({ queueId }) => queueId < below).sort((a, b) => (a.queueId < b.queueId ? 1 : -1));
    const some = all.slice(0, Math.min(page, limit));
    return { messages: some, unreadable: 0, ...(some.length < all.length && { next: some.at(-1)?.queueId }) };
  };
  const listener = async (
    { before = Number.POSITIVE_INFINITY, limit }: { before?: number; limit: number },
    { node }: { node: string },
  ): Promise<unknown> => {
    const all = (nodes[node]?.refusals ?? []).filter((one) => one.at < before).sort((a, b) => b.at - a.at);
    return { node, refusals: all.slice(0, limit), more: all.length > limit, since: 0 };
  };
  const services = ['router', 'listener'];
  return {
    client: () => ({ 'message-find': router, 'refusal-find': listener }) as never,
    meet: async () => Object.keys(nodes).map((node) => ({ node, services, state: 'up', stopped: false })) as never,
  };
}

async function through(all: Cluster, search: Omit<MailSearch, 'below'>): Promise<string[]> {
  const found: string[] = [];
  for (let below: string | undefined, pages = 0; ; pages++) {
    assert.ok(pages < 50, 'it goes on');
    const page = await searchMail(all, { ...search, below });
    found.push(...page.found.map((one) => (one.kind === 'message' ? one.id : (one.refusal.from ?? ''))));
    if (page.next === undefined) return found;
    below = page.next;
  }
}

describe('a search over nodes', () => {
  test('goes through all of them page by page, newest first, whatever the pages of each', async () => {
    const ids = Array.from({ length: 30 }, (_, n) => idOf(n));
    const nodes = {
      a: { page: 2, messages: ids.filter((_, n) => n % 3 === 0).map((id) => message('a', id)) },
      b: { page: 100, messages: ids.filter((_, n) => n % 3 === 1).map((id) => message('b', id)) },
      c: { page: 1, messages: ids.filter((_, n) => n % 3 === 2).map((id) => message('c', id)) },
    };
    for (const limit of [1, 2, 4, 100]) {
      assert.deepEqual(await through(cluster(nodes), { limit }), ids.toReversed(), `pages of ${limit}`);
    }
  });

  test('has a message that two nodes know once', async () => {
    const copy = { ...message('a', idOf(1)), copy: true as const };
    const nodes = { a: { messages: [message('a', idOf(1))] }, b: { messages: [copy, message('b', idOf(2))] } };
    assert.deepEqual(await through(cluster(nodes), { limit: 1 }), [idOf(2), idOf(1)]);
  });

  test('has refusals between the mail of their time, also of one millisecond', async () => {
    const nodes = {
      a: { messages: [message('a', idOf(1)), message('a', idOf(5)), message('a', idOf(5, 1)), message('a', idOf(9))] },
      b: { refusals: [refusal(5, 'x@far.test'), refusal(5, 'y@far.test'), refusal(7, 'z@far.test')] },
    };
    for (const limit of [1, 2, 3, 10]) {
      const found = await through(cluster(nodes), { what: 'mine.example', limit });
      const expected = [idOf(9), 'z@far.test', idOf(5, 1), idOf(5), 'x@far.test', 'y@far.test', idOf(1)];
      assert.deepEqual(found, expected, `pages of ${limit}`);
    }
    assert.equal((await through(cluster(nodes), { limit: 10 })).length, 4, 'not without words');
    assert.equal((await through(cluster(nodes), { limit: 10, state: 'refused' })).length, 3);
  });

  test('names the nodes that did not answer, and goes on with the others', async () => {
    const nodes = { a: { messages: [message('a', idOf(1))] }, b: { error: new Error('it is away') } };
    const { found, silent } = await searchMail(cluster(nodes), { limit: 10 });
    assert.deepEqual([found.length, silent], [1, [{ node: 'b', error: 'it is away' }]]);
  });

  test('shows nothing beyond its bounds, even of a router that knows none', async () => {
    const nodes = {
      a: { messages: [message('a', idOf(1)), message('a', idOf(2), 'eve@theirs.example')] },
      b: { refusals: [refusal(3, 'x@far.test'), refusal(4, 'x@mine.example')] },
    };
    const search = { what: '192.0.2.1', limit: 10, domains: ['mine.example'] };
    assert.deepEqual(await through(cluster(nodes), { limit: 10, domains: ['mine.example'] }), [idOf(1)]);
    assert.deepEqual(await through(cluster(nodes), search), ['x@mine.example']);
  });
});
