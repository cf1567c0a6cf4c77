import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { routerContract } from '#services/router/contract.ts';
import type { ChangePage, ChangeRequest } from '#services/router/operators/change.ts';
import { tempDir } from '#test/kit/temp.ts';
import { codeOf, envelope, LATER, OK, TestRouter } from '#test/unit/router/fixture.ts';

const BY = { by: 'alice on desk', filter: {}, dryRun: false } as const;

function change(
  router: TestRouter,
  request: Partial<ChangeRequest> & Pick<ChangeRequest, 'operation'>,
): Promise<ChangePage> {
  return Promise.resolve(router.service.handlers['queue-change']({ ...BY, ...request }, router.context()));
}

async function deferred(router: TestRouter, to: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const address of to) {
    ids.push(await router.send({ envelope: envelope([address]) }));
    await (await router.delivery.next()).end('deferred', LATER);
  }
  return ids;
}

const state = async (router: TestRouter, id: string): Promise<string> => (await router.show(id)).entry.state;

test('a page is counted, done in one write, and not selected again', async (t) => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const ids = await deferred(router, ['a@one.test', 'b@two.test', 'c@one.test']);
  const filter = { domain: 'one.test' };
  const counted = await change(router, { operation: 'hold', filter, dryRun: true });
  assert.deepEqual([counted.count, counted.next, (await router.status()).hold], [2, undefined, 0]);
  const write = t.mock.method(Store.prototype, 'write');
  assert.equal((await change(router, { operation: 'hold', filter })).count, 2);
  const written = write.mock.calls.flatMap(({ arguments: [operations] }) => [operations as StoreOperation[]]);
  assert.deepEqual(
    written.map((operations) => operations.map(({ key }) => key)),
    [[`message!${ids[0]}`, `message!${ids[2]}`]],
  );
  assert.equal((await change(router, { operation: 'hold', filter })).count, 0);
  assert.equal((await change(router, { operation: 'release' })).count, 2);
});

test('mail that is to be tried now is tried although the router stops before, and not again after that', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const [retried = '', released = '', rerouted = ''] = await deferred(first, [
    'a@one.test',
    'b@two.test',
    'c@three.test',
  ]);
  await change(first, { operation: 'hold', filter: { ids: [released] } });
  await change(first, { operation: 'retry', filter: { ids: [retried] } });
  await change(first, { operation: 'release', filter: { ids: [released] } });
  await change(first, { operation: 'reroute', filter: { ids: [rerouted] }, via: 'smtp://other.test' });
  await first.stop();
  const second = await TestRouter.start(folder.path);
  const tried: string[] = [];
  for (let n = 0; n < 3; n++) {
    const given = await second.delivery.next('mail that is to be tried');
    assert.equal(given.job.urgent, true);
    tried.push(given.job.queueId);
    await given.end('deferred', LATER);
  }
  assert.deepEqual(tried.toSorted(), [retried, released, rerouted].toSorted());
  await second.stop();
  await using third = await TestRouter.start(folder.path);
  assert.equal((await third.status()).deferred, 3);
  assert.deepEqual(third.delivery.jobs, []);
});

test('more than a page goes on after it, and mail that came meanwhile is left alone', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const to = Array.from({ length: 510 }, (_, n) => `user${n}@one.test`);
  for (const address of to) await router.send({ envelope: envelope([address]), hold: true });
  const first = await change(router, { operation: 'remove' });
  // A page also ends when it has taken its time.
  assert.ok(first.count <= 500);
  assert.ok(first.next !== undefined);
  while (Date.now() <= first.until) await new Promise((resolve) => setTimeout(resolve, 1));
  const late = await router.send({ envelope: envelope(['late@one.test']), hold: true });
  let { count } = first;
  for (let after: string | undefined = first.next; after !== undefined; ) {
    const page: ChangePage = await change(router, { operation: 'remove', after, until: first.until });
    count += page.count;
    after = page.next;
  }
  assert.equal(count, 510);
  assert.equal(await state(router, late), 'hold');
  assert.equal((await change(router, { operation: 'remove', filter: { ids: [late] }, until: first.until })).count, 1);
});

test('returned mail has a report with the reason', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const [id = ''] = await deferred(router, ['a@one.test']);
  const reason = 'the domain\r\nis closed';
  assert.equal((await change(router, { operation: 'bounce', filter: { reply: '4' }, reason })).count, 1);
  assert.match(await (await router.delivery.next('the notice')).content(), /out of the queue: the domain +is closed/);
  const { entry, finished } = await router.show(id);
  assert.deepEqual([finished, entry.recipients[0]?.status.state], [true, 'failed']);
  assert.equal((await change(router, { operation: 'bounce' })).count, 0, 'the report is not returned');
});

test('rerouted mail goes the other way now and after a restart, until it has its route again', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const [id = ''] = await deferred(first, ['a@one.test', 'b@two.test']);
  const via = 'smtp://backup.test:2525';
  assert.equal(
    await codeOf(() => change(first, { operation: 'reroute', via: 'smtp://me@x.test' })),
    'invalid-directive',
  );
  assert.equal((await change(first, { operation: 'reroute', filter: { ids: [id] }, via })).count, 1);
  const sent = await first.delivery.next();
  assert.deepEqual([sent.job.queueId, sent.hop.key], [id, via]);
  await sent.end('deferred', LATER);
  assert.equal((await change(first, { operation: 'reroute', filter: { ids: [id] }, via })).count, 0);
  assert.equal((await change(first, { operation: 'hold', filter: { nextHop: 'backup.test' } })).count, 1);
  await first.stop();

  await using router = await TestRouter.start(folder.path);
  assert.equal((await router.show(id)).entry.recipients[0]?.nextHop, via);
  assert.equal((await change(router, { operation: 'reroute', via: 'route' })).count, 1);
  assert.deepEqual([await state(router, id), router.delivery.jobs.length], ['hold', 0], 'what is held stays so');
  await change(router, { operation: 'release', filter: { ids: [id] } });
  assert.equal((await router.delivery.next()).hop.key, 'mx:one.test');
});

test('an attempt that has not begun does not go the old way, one that has ends', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const waits = await router.send({ envelope: envelope(['a@one.test']) });
  const sends = await router.send({ envelope: envelope(['b@two.test']) });
  const jobs = new Map(router.delivery.jobs.splice(0).map((one) => [one.job.queueId, one]));
  assert.equal((await jobs.get(sends)?.job.open())?.ok, true);
  assert.equal((await change(router, { operation: 'reroute', via: 'smtp://backup.test' })).count, 2);
  const opened = await jobs.get(waits)?.job.open();
  assert.ok(opened !== undefined && !opened.ok && opened.local);
  await jobs.get(waits)?.end('deferred', opened.reply, { local: true });
  await jobs.get(sends)?.end('delivered', OK);
  const next = await router.delivery.next();
  assert.deepEqual([next.job.queueId, next.hop.key], [waits, 'smtp://backup.test']);
  assert.equal((await router.show(sends)).finished, true);
});

test('ids that are not here are named', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const [id = ''] = await deferred(router, ['a@one.test']);
  const { count, missing } = await change(router, { operation: 'retry', filter: { ids: [id, 'NONE'] } });
  assert.equal(count, 1);
  assert.deepEqual(
    missing?.map((one) => one.id),
    ['NONE'],
  );
  assert.match(missing?.[0]?.reason ?? '', /no message NONE on this node/);
});

const ARCHIVE = 'archive@vault.test';

test('much mail that is removed or returned leaves its copies for archives, which are removed by their ids alone', async () => {
  await using folder = await tempDir();
  const rules = [{ name: 'archive', journal: { to: ARCHIVE } }];
  await using router = await TestRouter.start(folder.path, { config: { rules } });
  const ids: string[] = [];
  for (const to of ['a@one.test', 'b@two.test', 'c@one.test']) {
    ids.push(await router.send({ envelope: envelope([to]) }));
    for (const given of [await router.delivery.next(), await router.delivery.next()])
      await given.end('deferred', LATER);
  }
  const left = async (): Promise<string[][]> =>
    Promise.all(
      ids.map(async (id) =>
        (await router.show(id)).entry.recipients
          .filter(({ status }) => status.state === 'deferred')
          .map(({ recipient }) => recipient.address),
      ),
    );
  for (const filter of [{ domain: 'vault.test' }, { recipient: ARCHIVE }, { nextHop: 'mx:vault.test' }]) {
    assert.equal((await change(router, { operation: 'remove', filter })).count, 0, 'the mail is not for the archive');
    assert.equal((await change(router, { operation: 'bounce', filter })).count, 0);
  }
  const remove = { operation: 'remove', filter: { domain: 'one.test' } } as const;
  assert.equal((await change(router, { ...remove, dryRun: true })).count, 2);
  assert.equal((await change(router, remove)).count, 2);
  // The archive gets them now.
  for (const given of [await router.delivery.next(), await router.delivery.next()]) {
    assert.deepEqual(given.to, [ARCHIVE]);
    await given.end('deferred', LATER);
  }
  assert.deepEqual(await left(), [[ARCHIVE], ['b@two.test', ARCHIVE], [ARCHIVE]]);
  assert.equal((await change(router, { operation: 'hold' })).count, 3);
  assert.equal((await change(router, { operation: 'bounce' })).count, 1, 'it has mail that can be returned');
  assert.deepEqual(await left(), [[ARCHIVE], [ARCHIVE], [ARCHIVE]]);
  const filter = { sender: 'sender.example' };
  for (const operation of ['remove', 'bounce'] as const)
    for (const dryRun of [true, false]) assert.equal((await change(router, { operation, filter, dryRun })).count, 0);
  const [first = '', second = ''] = ids;
  assert.deepEqual([await state(router, first), await state(router, second)], ['hold', 'active']);
  assert.equal((await change(router, { operation: 'remove', filter: { ids: [first] } })).count, 1);
  assert.equal((await router.show(first)).finished, true);
  assert.equal((await change(router, { operation: 'release' })).count, 1);
  const copies: string[] = [];
  for (const what of ['a copy', 'another copy', 'the report']) {
    const given = await router.delivery.next(what);
    if (given.to[0] === ARCHIVE) copies.push(given.job.queueId);
    await given.end('delivered', OK);
  }
  assert.deepEqual(copies.toSorted(), ids.slice(1));
});

test('the audit log says what was changed, without a password', () => {
  const { audited } = routerContract.operations['queue-change'];
  const change = { operation: 'reroute', filter: { domain: 'a.example' }, dryRun: false } as const;
  assert.equal(
    audited({ ...change, via: 'smtp://relay.example' }),
    'reroute to smtp://relay.example: domain a.example',
  );
  const secret = audited({ ...change, via: 'smtp://me:hunter2@relay.example' });
  assert.equal(secret, 'reroute to smtp://…@relay.example: domain a.example');
  assert.equal(audited({ ...change, dryRun: true }), undefined);
});
