import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail for destinations that have a limit, in the queue: what waits for its turn does not hinder other mail. */

const SLOW = { to: 'slow.example', messages: '1/h' };
const limited = (...destinations: Record<string, unknown>[]) => ({
  queue: { 'active-limit': 100 },
  rates: { destinations },
});

/** Put another limit in force. */
function change(router: TestRouter, ...destinations: Record<string, unknown>[]): void {
  const { rates } = ConfigSchema.parse({ listeners: [], rates: { destinations } });
  router.settings.replace({ ...router.settings.current, rates });
}

/** Deliver what comes until `count` messages have; their ids in order. */
async function deliver(router: TestRouter, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const job = await router.delivery.next(`job ${ids.length + 1} of ${count}`);
    const opened = await job.job.open();
    if (opened.ok) ids.push(job.job.queueId);
    await job.end(opened.ok ? 'delivered' : 'deferred', OK, { local: !opened.ok });
  }
  return ids;
}

test('three hundred wait for one an hour, and take no place from others', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: limited(SLOW) });
  const ids: string[] = [];
  for (let n = 0; n < 300; n++) ids.push(await router.send({ envelope: envelope(['bob@slow.example']) }));
  assert.equal(router.delivery.jobs.length, 1);
  for (let n = 0; n < 80; n++) await router.send({ envelope: envelope([`bob@quick${n}.example`]) });
  assert.equal(router.delivery.jobs.length, 81);
  assert.equal((await router.status()).active, 380);

  const { entry } = await router.show(ids[299] ?? '');
  assert.equal(entry.recipients[0]?.status.state, 'waiting');
  assert.match(entry.recipients[0]?.limit ?? '', /^slow\.example: 1\/h, 1\/h on this node$/);

  await deliver(router, 81);
  assert.equal(router.delivery.jobs.length, 0, 'the hour has only begun');
  change(router, { to: 'slow.example', messages: '100000/s' });
  const delivered = await deliver(router, 299);
  assert.deepEqual(delivered.toSorted(), ids.slice(1).toSorted(), 'each once');
  const jumps = delivered.map((id, n) => Math.abs(ids.indexOf(id) - 1 - n));
  // Up to 32 are read from the store concurrently.
  assert.ok(Math.max(...jumps) <= 32, 'in the order of their arrival');
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue' });
});

for (const [what, ...after] of [
  ['removed'],
  ['replaced by that of a subdomain', { to: 'sub.slow.example', messages: '100000/s' }, SLOW],
] as const) {
  test(`a limit that is ${what} lets everything go`, async () => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path, { config: limited(SLOW) });
    const ids: string[] = [];
    for (let n = 0; n < 300; n++) ids.push(await router.send({ envelope: envelope(['bob@sub.slow.example']) }));
    await deliver(router, 1);
    change(router, ...after);
    assert.deepEqual((await deliver(router, 299)).toSorted(), ids.slice(1).toSorted());
  });
}

test('one message to slow and quick domains: no recipient waits for another’s turn', async () => {
  await using folder = await tempDir();
  const other = { to: 'other.example', messages: '1/h' };
  await using router = await TestRouter.start(folder.path, { config: limited(SLOW, other) });
  for (let n = 0; n < 30; n++) await router.send({ envelope: envelope(['x@slow.example']) });
  for (let n = 0; n < 30; n++) await router.send({ envelope: envelope(['x@other.example']) });
  await deliver(router, 2);
  const to = ['a@other.example', 'a@slow.example', 'a@quick.example', 'b@sub.slow.example'];
  const queueId = await router.send({ envelope: envelope(to) });
  assert.deepEqual((await router.delivery.next()).to, ['a@quick.example']);
  // The domain that comes first in the message is free first.
  change(router, SLOW, { to: 'other.example', messages: '100000/s' });
  const reached: string[] = [];
  for (let n = 0; n < 30; n++) {
    const job = await router.delivery.next();
    reached.push(...job.to);
    await job.content();
    await job.end('delivered', OK);
  }
  assert.ok(reached.includes('a@other.example'), 'it went with the others');
  const { entry } = await router.show(queueId);
  assert.deepEqual(
    entry.recipients.map((r) => r.limit !== undefined),
    [false, true, false, true],
  );
});

test('domains with a limit of their own go in transactions of their own by way of a smart host', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, {
    config: {
      ...limited({ to: 'a.example', messages: '1000/s' }),
      routes: [{ to: '*', via: 'smtp://127.0.0.1:2525' }],
    },
  });
  await router.send({ envelope: envelope(['1@a.example', '2@b.example', '3@x.a.example', '4@c.example']) });
  const jobs = [await router.delivery.next(), await router.delivery.next()];
  assert.deepEqual(
    jobs.map(({ hop, to }) => [hop.key, hop.limit, to.join()]),
    [
      ['smtp://127.0.0.1:2525', 'a.example', '1@a.example,3@x.a.example'],
      ['smtp://127.0.0.1:2525', undefined, '2@b.example,4@c.example'],
    ],
  );
});

test('an operator holds, releases and removes what waits, and asks for it now in vain', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: limited(SLOW) });
  const ids: string[] = [];
  for (let n = 0; n < 60; n++) ids.push(await router.send({ envelope: envelope(['bob@slow.example']) }));
  await deliver(router, 1);
  const {
    'message-hold': hold,
    'message-release': release,
    'message-remove': remove,
    'message-retry': retry,
  } = router.service.handlers;
  const context = router.context();
  assert.deepEqual(await hold({ all: true }, context), { count: 59 });
  assert.deepEqual(await remove({ queueId: ids[5] ?? '', notify: false }, context), { count: 1 });
  assert.deepEqual(await release({ all: true }, context), { count: 58 });
  assert.deepEqual(await retry({ all: true }, context), { count: 0 });
  assert.equal(router.delivery.jobs.length, 0);
  change(router, { to: 'slow.example', messages: '100000/s' });
  const expected = ids.filter((_, n) => n !== 0 && n !== 5);
  assert.deepEqual((await deliver(router, 58)).toSorted(), expected.toSorted());
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue' });
});

test('what was deferred waits for its turn too, and is not tried in the meantime', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, {
    config: limited({ to: 'slow.example', messages: '2/h' }),
    times: { first: 10, max: 10 },
  });
  const queueId = await router.send({ envelope: envelope(['bob@slow.example']) });
  const job = await router.delivery.next();
  await job.content();
  await job.end('deferred', LATER);
  await waitFor(async () => (await router.show(queueId)).entry.recipients[0]?.limit, {
    what: 'it to wait for its turn',
  });
  const { status } = (await router.show(queueId)).entry.recipients[0] ?? {};
  assert.equal(status?.state, 'deferred');
  assert.equal(status?.state === 'deferred' && status.attempts, 1);
  change(router, { to: 'slow.example', messages: '100000/s' });
  await deliver(router, 1);
});

test('a restart finds what waited', async () => {
  await using folder = await tempDir();
  const ids: string[] = [];
  {
    await using router = await TestRouter.start(folder.path, { config: limited(SLOW) });
    for (let n = 0; n < 150; n++) ids.push(await router.send({ envelope: envelope(['bob@slow.example']) }));
  }
  await using router = await TestRouter.start(folder.path, {
    config: limited({ to: 'slow.example', messages: '100000/s' }),
  });
  assert.deepEqual((await deliver(router, 150)).toSorted(), ids.toSorted());
});
