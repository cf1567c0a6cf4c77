import assert from 'node:assert/strict';
import { test } from 'node:test';
import { merged } from '#services/console/reports/mail/summary.ts';
import { reply } from '#shared/mail/reply.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import type { QueueGroup, SummaryBy } from '#shared/queue/summary.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Of all pages: one ends after a time. */
async function groupsOf(
  router: TestRouter,
  request: { by: SummaryBy; filter: QueueFilter; domains?: string[] },
): Promise<QueueGroup[]> {
  const all: QueueGroup[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Awaited<ReturnType<TestRouter['service']['handlers']['queue-summarize']>> =
      await router.service.handlers['queue-summarize']({ ...request, after }, router.context());
    assert.equal(page.bounded, request.domains && true);
    all.push(...page.groups);
    after = page.next;
  }
  return all;
}

test('the queue is counted by destination, reply, sender and node', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const began = Date.now();
  const ids: string[] = [];
  for (const [n, to] of ['a@one.test', 'b@One.test', 'c@two.test'].entries()) {
    ids.push(await router.send({ envelope: envelope([to]) }));
    const busy = reply(451, '4.7.1', `<${to}>: come back in ${n * 60} seconds`);
    await (await router.delivery.next()).end('deferred', busy);
  }
  await router.send({ envelope: { ...envelope(['d@two.test', 'e@three.test']), reversePath: '' } });
  const context = router.context();
  const count = async (by: SummaryBy, filter: QueueFilter = {}): Promise<QueueGroup[]> => {
    return merged(await groupsOf(router, { by, filter }));
  };
  const names = async (by: SummaryBy, filter?: QueueFilter): Promise<string[]> =>
    (await count(by, filter)).map(({ key, messages }) => `${messages} ${key}`);
  assert.deepEqual(await names('destination'), ['2 one.test', '2 two.test', '1 three.test']);
  assert.deepEqual(await names('reply'), ['3 451 4.7.1 <…>: come back in # seconds', '1 not tried yet']);
  assert.deepEqual(await names('sender'), [`3 ${envelope(['x@y.test']).reversePath}`, '1 <>']);
  assert.deepEqual(await names('node', { domain: 'two.test', reply: '451' }), ['1 edge-1']);
  const [one] = await count('destination', { domain: 'one.test' });
  assert.ok(one !== undefined && one.oldest >= began && one.oldest <= Date.now());
  assert.ok((one.next ?? 0) > Date.now());
  for (const queueId of ids) await router.service.handlers['message-hold']({ queueId }, context);
  assert.equal((await count('destination', { domain: 'one.test' }))[0]?.next, undefined, 'held');
  assert.equal((await count('reply', { state: 'active' }))[0]?.next, 0, 'now');
});

test('for some domains: mail from them, and of other mail what is for their recipients', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  for (const [from, ...to] of [
    ['a@Ours.test', 'x@there.test'],
    ['a@sub.ours.test', 'x@there.test', 'b@sub.ours.test'],
    ['z@there.test', 'b@ours.test', 'c@other.test'],
    ['z@there.test', 'c@other.test'],
    ['', 'b@ours.test'],
  ] as const)
    await router.send({ envelope: { ...envelope([...to]), reversePath: from } });
  const names = async (by: SummaryBy, filter: QueueFilter = {}): Promise<string[]> => {
    const request = { by, filter, domains: ['ours.TEST'] };
    return merged(await groupsOf(router, request)).map(({ key, messages }) => `${messages} ${key}`);
  };
  assert.deepEqual(await names('destination'), ['2 ours.test', '1 there.test']);
  assert.deepEqual(await names('sender'), ['1 <>', '1 a@Ours.test', '1 z@there.test']);
  assert.deepEqual(
    await names('destination', { domain: 'other.test' }),
    [],
    'nor by a filter for recipients of others',
  );
});

test('held mail is counted by what holds it, copies by their archives', async () => {
  await using folder = await tempDir();
  const rules = [
    { name: 'court', when: { to: ['one.test'] }, hold: true },
    { name: 'archive', when: { to: ['two.test'] }, journal: { to: 'archive@Vault.test' } },
  ];
  await using router = await TestRouter.start(folder.path, { config: { rules } });
  const count = async (by: SummaryBy, filter: QueueFilter): Promise<string[]> => {
    return merged(await groupsOf(router, { by, filter })).map(({ key, messages }) => `${messages} ${key}`);
  };
  let last = '';
  for (const to of ['a@one.test', 'b@two.test', 'c@two.test']) last = await router.send({ envelope: envelope([to]) });
  for (let n = 0; n < 4; n++) {
    const given = await router.delivery.next();
    if (given.to[0] === 'b@two.test') await given.end('delivered', OK);
    else if (given.to[0] === 'c@two.test') await given.end('deferred', reply(451, '4.7.1', 'later'));
    else await given.end('failed', NO_USER);
  }
  await router.service.handlers['message-hold']({ queueId: last }, router.context());
  assert.deepEqual(await count('hold', { state: 'hold' }), ['1 journal archive', '1 operator', '1 rule court']);
  assert.deepEqual(await count('hold', { state: 'deferred' }), []);
  assert.deepEqual(await count('archive', {}), ['2 archive@vault.test']);
});

test('what several nodes count is added up, the largest first', () => {
  const group = (key: string, messages: number, oldest: number, next?: number): QueueGroup => ({
    ...{ key, messages, oldest },
    ...(next !== undefined && { next }),
  });
  assert.deepEqual(merged([group('a', 2, 5), group('b', 3, 1, 9), group('a', 2, 4, 7), group('b', 0, 8, 10)]), [
    group('a', 4, 4, 7),
    group('b', 3, 1, 9),
  ]);
});
