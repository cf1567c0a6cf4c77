import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, OK, settingsFor, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail that is suspended at an inconvenient moment. */

const BY = { by: 'root on edge-1' };
const directive = (name: string) => ({ kind: 'suspend', about: 'domain', name, ...BY }) as const;

const suspend = (router: TestRouter, name: string) =>
  router.service.handlers['directive-set']({ ...directive(name), forMs: 3_600_000 }, router.context());
const resume = (router: TestRouter, name: string) =>
  router.service.handlers['directive-end'](directive(name), router.context());

test('mail that waited for a connection when it was suspended does not expire, and nobody hears that it is late', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { expire: 1, delayNotice: 1 } });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  const waiting = await router.delivery.next();
  await suspend(router, 'peer.example');
  const opened = await waiting.job.open();
  assert.ok(!opened.ok);
  await waiting.end(opened.state, opened.reply, { local: true });
  await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait' });
  const { entry, finished } = await router.show(queueId);
  assert.deepEqual([finished, entry.recipients[0]?.status.state], [false, 'deferred']);
  assert.equal(router.delivery.jobs.length, 0, 'no notice');

  await resume(router, 'peer.example');
  await (await router.delivery.next('the mail')).end('deferred', LATER);
  assert.equal((await router.show(queueId)).entry.recipients[0]?.status.state, 'expired');
  assert.equal((await router.delivery.next('the notice')).job.reversePath, '');
});

for (const [what, about, name, routes] of [
  ['its destination', 'destination', 'smtp://one.example:25', [{ to: '*', via: 'smtp://two.example:25' }]],
  [
    'the mailbox of its junk',
    'domain',
    'junk.example',
    [{ to: '*', via: 'smtp://one.example:25', 'junk-to': 'spam@peer.example' }],
  ],
] as const)
  test(`mail that is suspended by ${what} goes when another configuration leads it elsewhere`, async () => {
    await using folder = await tempDir();
    const config = { routes: [{ to: '*', via: 'smtp://one.example:25', 'junk-to': 'quarantine@junk.example' }] };
    await using router = await TestRouter.start(folder.path, { config });
    const given = { kind: 'suspend', about, name, ...BY, forMs: 3_600_000 } as const;
    await router.service.handlers['directive-set'](given, router.context());
    await router.send({ envelope: envelope(['bob@peer.example']), junk: about === 'domain' });
    await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait' });
    router.settings.replace({
      ...router.settings.current,
      routes: settingsFor(folder.path, { routes }).current.routes,
    });
    const sent = await router.delivery.next('the mail on its new way');
    assert.equal(sent.hop.key, routes[0].via);
    await sent.end('delivered', OK);
  });

test('mail whose destination is suspended goes when an operator sends its domain elsewhere', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { routes: [{ to: '*', via: 'mx' }] } });
  const set = (given: Record<string, unknown>) =>
    router.service.handlers['directive-set']({ ...BY, forMs: 3_600_000, ...given } as never, router.context());
  await set({ kind: 'suspend', about: 'destination', name: 'mx:peer.example' });
  await router.send({ envelope: envelope(['bob@peer.example']) });
  await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait' });
  await set({ kind: 'redirect', about: 'domain', name: 'peer.example', via: 'smtp://other.example:25' });
  const sent = await router.delivery.next('the mail on its new way');
  assert.equal(sent.hop.key, 'smtp://other.example:25');
  await sent.end('delivered', OK);
});

test('junk is suspended by the domain of its recipient and by that of the mailbox that it goes to', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: '*', via: 'mx', 'junk-to': 'quarantine@junk.example' }] };
  await using router = await TestRouter.start(folder.path, { config });
  for (const domain of ['junk.example', 'peer.example']) {
    const queueId = await router.send({ envelope: envelope(['bob@peer.example']), junk: true });
    const before = await router.delivery.next();
    await suspend(router, domain);
    const opened = await before.job.open();
    assert.ok(!opened.ok, `in flight: ${domain}`);
    await before.end(opened.state, opened.reply, { local: true });
    await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait' });
    await router.service.handlers['message-retry']({ queueId }, router.context());
    await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait again' });
    assert.equal((await router.show(queueId)).entry.recipients[0]?.suspended?.name, domain);
    assert.equal(router.delivery.jobs.length, 0, domain);
    await resume(router, domain);
    await (await router.delivery.next('the mail')).end('delivered', OK);
  }
});

test('mail that an operator sent another way is not tried early because its domain is not suspended any more', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: '*', via: 'mx' }] };
  await using router = await TestRouter.start(folder.path, { config });
  const given = { kind: 'suspend', about: 'destination', name: 'mx:peer.example', ...BY } as const;
  const { handlers } = router.service;
  await handlers['directive-set']({ ...given, forMs: 3_600_000 }, router.context());
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  await waitFor(async () => (await router.status()).deferred === 1, { what: 'it to wait' });
  const change = { via: 'smtp://other.example', filter: { ids: [queueId] }, dryRun: false, ...BY };
  await handlers['queue-change']({ ...change, operation: 'reroute' }, router.context());
  await (await router.delivery.next('the mail on its new way')).end('deferred', LATER);
  assert.equal((await router.status()).deferred, 1);
  await handlers['directive-end'](given, router.context());
  assert.deepEqual([(await router.status()).active, router.delivery.jobs], [0, []]);
});
