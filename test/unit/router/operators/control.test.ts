import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { SealpostError } from '#shared/errors.ts';
import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import { tempDir } from '#test/kit/temp.ts';
import { codeOf, envelope, LATER, messageOf, OK, TestRouter } from '#test/unit/router/fixture.ts';

const NONE = '0000000000000000';

async function listAll(router: TestRouter, request: object): Promise<QueueEntry[]> {
  const entries: QueueEntry[] = [];
  let after: string | undefined;
  do {
    const page = await router.service.handlers['message-list'](
      { limit: 3, ...request, ...(after && { after }) },
      router.context(),
    );
    assert.ok(page.entries.length <= 3);
    entries.push(...page.entries);
    after = page.next;
  } while (after !== undefined);
  return entries;
}

/** One deferred message to each address; the longest waits until the test says so. */
async function deferred(router: TestRouter, to: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const address of to) {
    ids.push(await router.send({ envelope: envelope([address]) }));
    await (await router.delivery.next()).end('deferred', LATER);
  }
  return ids;
}

test('a page of messages with very many recipients fits a bus message', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const many = Array.from({ length: 400 }, (_, i) => `recipient-with-a-long-name-${i}@one.example`);
  for (let n = 0; n < 12; n++) await router.send({ envelope: envelope(many) });
  const sizes: number[] = [];
  let after: string | undefined;
  let listed = 0;
  do {
    const page = await router.service.handlers['message-list'](
      { limit: 500, ...(after && { after }) },
      router.context(),
    );
    sizes.push(JSON.stringify(page).length);
    listed += page.entries.length;
    after = page.next;
  } while (after !== undefined);
  assert.equal(listed, 12);
  assert.ok(sizes.length > 1 && Math.max(...sizes) < 1024 * 1024, `${sizes}`);
});

test('every operation on a message that is not there says so', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const { handlers } = router.service;
  const context = router.context();
  for (const queueId of [NONE, '', '../../etc/passwd', 'message!x']) {
    for (const call of [
      () => handlers['message-show']({ queueId }, context),
      () => handlers['message-read']({ queueId, offset: 0 }, context),
      () => handlers['message-retry']({ queueId }, context),
      () => handlers['message-hold']({ queueId }, context),
      () => handlers['message-release']({ queueId }, context),
      () => handlers['message-remove']({ queueId, notify: false }, context),
    ]) {
      assert.equal(await codeOf(call), 'not-found', queueId);
    }
  }
  assert.deepEqual(await handlers['message-retry']({ all: true }, context), { count: 0 });
  assert.deepEqual(await handlers['message-hold']({ domain: 'none.example' }, context), { count: 0 });
});

test('the list is in order of age, page by page, by state and by domain', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const to = ['a@one.example', 'b@two.example', 'c@sub.one.example', 'd@xone.example', 'e@One.example'];
  const ids = await deferred(router, to);
  const waiting = await router.send({ envelope: envelope(['f@one.example', 'g@two.example']) });
  await router.service.handlers['message-hold']({ queueId: ids[1] ?? '' }, router.context());
  const names = (entries: QueueEntry[]) => entries.map((e) => e.recipients.map((r) => r.recipient.address[0]).join(''));
  assert.deepEqual(names(await listAll(router, {})), ['a', 'b', 'c', 'd', 'e', 'fg']);
  assert.deepEqual(names(await listAll(router, { domain: 'ONE.example' })), ['a', 'c', 'e', 'fg']);
  assert.deepEqual(names(await listAll(router, { state: 'hold' })), ['b']);
  assert.deepEqual(names(await listAll(router, { state: 'active' })), ['fg']);
  assert.deepEqual(names(await listAll(router, { state: 'deferred', domain: 'two.example' })), []);
  assert.deepEqual((await listAll(router, { limit: 1 })).length, 6);
  const [first] = await listAll(router, {});
  assert.equal(first?.node, 'edge-1');
  assert.equal(first?.trace, 'TRACE1');
  assert.equal(first?.recipients[0]?.nextHop, 'mx:one.example');
  assert.equal((await router.show(waiting)).entry.state, 'active');
});

test('retry is immediate, whatever the schedule says, for one message, a domain or all', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const ids = await deferred(router, ['a@one.example', 'b@two.example', 'c@one.example']);
  const { 'message-retry': retry } = router.service.handlers;
  assert.deepEqual(await retry({ queueId: ids[1] ?? '' }, router.context()), { count: 1 });
  const retried = await router.delivery.next();
  assert.deepEqual(retried.to, ['b@two.example']);
  assert.equal(retried.job.urgent, true);
  assert.deepEqual(await retry({ domain: 'one.example' }, router.context()), { count: 2 });
  const jobs = [await router.delivery.next(), await router.delivery.next()];
  assert.deepEqual(jobs.map((j) => j.to[0]).sort(), ['a@one.example', 'c@one.example']);
  assert.deepEqual(await retry({ all: true }, router.context()), { count: 0 }, 'all are under way');
});

test('held mail stays: an attempt that has not begun does not, one that has ends, a restart changes nothing', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const waiting = await first.send({ envelope: envelope(['a@one.example']) });
  const sending = await first.send({ envelope: envelope(['b@two.example']) });
  const jobs = first.delivery.jobs.splice(0);
  const begun = jobs.find((j) => j.job.queueId === sending);
  assert.equal((await begun?.job.open())?.ok, true);
  await first.service.handlers['message-hold']({ all: true }, first.context());
  const stopped = jobs.find((j) => j.job.queueId === waiting);
  const opened = await stopped?.job.open();
  assert.ok(opened !== undefined && !opened.ok && opened.local);
  await stopped?.end('deferred', opened.reply, { local: true });
  await begun?.end('delivered', OK);
  assert.equal((await first.show(sending)).finished, true);
  const entry = (await first.show(waiting)).entry;
  assert.deepEqual([entry.state, entry.recipients[0]?.status.state], ['hold', 'waiting']);
  await first.stop();

  await using second = await TestRouter.start(folder.path);
  assert.deepEqual(second.delivery.jobs, []);
  assert.equal((await second.show(waiting)).entry.state, 'hold');
  const { 'message-retry': retry, 'message-release': release } = second.service.handlers;
  assert.deepEqual(await retry({ queueId: waiting }, second.context()), { count: 0 });
  assert.deepEqual(await release({ queueId: waiting }, second.context()), { count: 1 });
  const job = await second.delivery.next();
  assert.equal((await job.job.open()).ok, true);
  await job.end('delivered', OK);
  assert.equal((await second.show(waiting)).finished, true);
});

test('mail that leaves the queue while an operator changes it does not come back', async (t) => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['a@one.example']) });
  const given = await first.delivery.next();
  assert.equal((await given.job.open()).ok, true);
  const { persist, getMany } = Store.prototype;
  const [written, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  t.mock.method(Store.prototype, 'persist', async function (this: Store, operations: StoreOperation[]) {
    await persist.call(this, operations);
    written.resolve();
    await told.promise;
  });
  let ended: Promise<void> | undefined;
  t.mock.method(Store.prototype, 'getMany', async function (this: Store, keys: string[]) {
    const values = await getMany.call(this, keys);
    if (keys[0] !== `message!${queueId}`) return values;
    ended = given.end('delivered', OK);
    await written.promise;
    return values;
  });
  await first.service.handlers['message-hold']({ queueId }, first.context());
  told.resolve();
  await ended;
  t.mock.reset();
  assert.equal((await first.show(queueId)).finished, true);
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  assert.deepEqual([(await second.status()).corrupt, (await second.status()).hold], [0, 0]);
});

test('mail that was committed to be held waits, through a restart, until it is released', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['a@one.example']), hold: true });
  assert.equal((await first.show(queueId)).entry.state, 'hold');
  assert.equal((await first.status()).hold, 1);
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  assert.equal((await second.show(queueId)).entry.state, 'hold');
  assert.deepEqual(second.delivery.jobs, []);
  await second.service.handlers['message-release']({ queueId }, second.context());
  const job = await second.delivery.next();
  assert.equal(job.job.queueId, queueId);
  assert.equal((await job.job.open()).ok, true);
  await job.end('delivered', OK);
  assert.equal((await second.show(queueId)).finished, true);
});

test('released mail is not held after the next start', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['a@one.example']) });
  await first.service.handlers['message-hold']({ queueId }, first.context());
  await first.service.handlers['message-release']({ all: true }, first.context());
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  assert.equal((await second.delivery.next()).job.queueId, queueId);
});

test('removed mail is gone, its receipt says who did it, and its attempts change nothing but that', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const { 'message-remove': remove } = router.service.handlers;
  const quiet = await router.send({ envelope: envelope(['a@one.example']) });
  const told = await router.send({ envelope: envelope(['b@two.example']) });
  const sent = await router.send({ envelope: envelope(['c@three.example']) });
  const jobs = new Map(router.delivery.jobs.splice(0).map((j) => [j.job.queueId, j]));
  assert.equal((await jobs.get(sent)?.job.open())?.ok, true);
  assert.deepEqual(await remove({ queueId: quiet, notify: false }, router.context()), { count: 1 });
  assert.deepEqual(router.delivery.jobs, []);
  assert.deepEqual(await remove({ domain: 'two.example', notify: true }, router.context()), { count: 1 });
  assert.match(await (await router.delivery.next('the notice')).content(), /an operator took the message out/);
  assert.deepEqual(await remove({ queueId: sent, notify: false }, router.context()), { count: 1 });
  assert.equal((await jobs.get(quiet)?.job.open())?.ok, false);
  for (const id of [quiet, told]) await jobs.get(id)?.end('deferred', LATER, { local: true });
  await jobs.get(sent)?.end('delivered', OK);
  for (const [id, state] of [
    [quiet, 'failed'],
    [told, 'failed'],
    [sent, 'delivered'],
  ] as const) {
    const { entry, finished } = await router.show(id);
    assert.deepEqual([finished, entry.recipients[0]?.status.state], [true, state]);
  }
  assert.equal((await router.status()).active, 1, 'the notice');
});

test('mail is read piece by piece as it would be sent, and ends with empty bytes', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const message = messageOf(150_000);
  const queueId = await router.send({ envelope: envelope(['a@one.example']), message });
  assert.equal(await router.readQueued(queueId), `Received: from client.example\r\n${message.toString('latin1')}`);
  const { reply, bytes } = await router.service.handlers['message-read']({ queueId, offset: 1e9 }, router.context());
  assert.deepEqual([reply.total, bytes.length], [message.length + 31, 0]);
});

for (const code of ['store-failed', 'store-damaged'] as const) {
  test(`an operator hears that the disk fails (${code})`, async (t) => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    const [queueId = ''] = await deferred(router, ['a@one.example']);
    const { handlers } = router.service;
    const context = router.context();
    const fails = (): never => {
      throw new SealpostError(code, 'the disk fails in this test');
    };
    for (const method of ['get', 'getMany', 'entries'] as const) t.mock.method(Store.prototype, method, fails);
    assert.equal(await codeOf(() => handlers['message-list']({ limit: 3 }, context)), code);
    assert.equal(await codeOf(() => handlers['message-show']({ queueId: NONE }, context)), code);
    assert.equal(await codeOf(() => handlers['message-hold']({ queueId }, context)), code);
    const selection = { domain: 'one.example' };
    for (const operation of ['message-retry', 'message-hold', 'message-release'] as const)
      assert.equal(await codeOf(() => handlers[operation](selection, context)), code, operation);
    assert.equal(await codeOf(() => handlers['message-remove']({ ...selection, notify: false }, context)), code);
    t.mock.restoreAll();
  });
}
