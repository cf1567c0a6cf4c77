import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { codeOf, envelope, LATER, messageOf, NO_USER, OK, TestRouter } from './fixture.ts';

test('a router that is not started, or stopped, is unavailable', async () => {
  await using folder = await tempDir();
  const router = await TestRouter.start(folder.path);
  await router.stop();
  assert.equal(await codeOf(() => router.status()), 'unavailable');
  assert.equal(await codeOf(() => router.send({ envelope: envelope(['a@b.example']) })), 'unavailable');
});

test('a router announces how much it holds and why it accepts no mail: at its start, every second, and as it stops', async () => {
  await using folder = await tempDir();
  const router = await TestRouter.start(folder.path);
  assert.deepEqual(router.announced, [{ node: 'edge-1', queued: 0 }]);
  await router.send({ envelope: envelope(['a@b.example']) });
  await waitFor(() => router.announced.at(-1)?.queued === 1, { what: 'the message to be counted' });
  const queue = { ...router.settings.current.queue, reserve: Number.MAX_SAFE_INTEGER };
  router.settings.replace({ ...router.settings.current, queue });
  await waitFor(() => router.announced.at(-1)?.refusing, { what: 'the refusal' });
  assert.match(router.announced.at(-1)?.refusing ?? '', /below queue\.reserve/);
  await router.stop();
  const said = router.announced.length;
  assert.deepEqual(router.announced.at(-1), { node: 'edge-1', queued: 1, refusing: 'the router is stopping' });
  await new Promise((wake) => setTimeout(wake, 1200));
  assert.equal(router.announced.length, said);
});

for (const [what, size, chunk] of [
  ['of one piece', 2000, undefined],
  ['of exactly one chunk', CHUNK_BYTES, undefined],
  ['of many pieces', 300_000, undefined],
  ['of tiny pieces, the header cut', 900, 7],
  ['without a byte', 0, undefined],
] as const) {
  test(`a message ${what} is delivered byte for byte and leaves a receipt`, async () => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    const message = size === 0 ? Buffer.alloc(0) : messageOf(size);
    const queueId = await router.send({
      envelope: envelope(['bob@peer.example']),
      message,
      ...(chunk === undefined ? {} : { chunk }),
    });
    const job = await router.delivery.next();
    assert.equal(job.job.queueId, queueId);
    assert.equal(job.job.trace, 'TRACE1');
    assert.deepEqual(job.hop.spec, { kind: 'mx', domain: 'peer.example' });
    assert.equal(await job.content(), `Received: from client.example\r\n${message.toString('latin1')}`);
    assert.equal((await router.show(queueId)).finished, false);
    await job.end('delivered', OK);
    const { entry, finished } = await router.show(queueId);
    assert.equal(finished, true);
    assert.equal(entry.recipients[0]?.status.state, 'delivered');
    assert.deepEqual(await counts(router), [0, 0, 0]);
  });
}

test('recipients are grouped by next hop and by recipients-per-transaction; each has its own fate', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, {
    config: {
      delivery: { 'recipients-per-transaction': 2 },
      routes: [
        { to: 'box.example', via: 'lmtp://127.0.0.1:24' },
        { to: '*', via: 'mx' },
      ],
    },
  });
  const to = ['a@x.example', 'b@X.example', 'c@x.example', 'd@box.example', 'e@y.example'];
  const queueId = await router.send({ envelope: envelope(to) });
  const jobs = router.delivery.jobs.splice(0);
  assert.deepEqual(
    jobs.map((j) => [j.hop.key, j.to.join()]),
    [
      ['mx:x.example', 'a@x.example,b@X.example'],
      ['mx:x.example', 'c@x.example'],
      ['lmtp://127.0.0.1:24', 'd@box.example'],
      ['mx:y.example', 'e@y.example'],
    ],
  );
  const [first, second, third, fourth] = jobs;
  await first?.job.finish([
    await first.endOne('a@x.example', 'delivered', OK),
    await first.endOne('b@X.example', 'deferred', LATER),
  ]);
  // No result at all counts as trouble of our own.
  await second?.job.finish([]);
  await Promise.all([third?.end('delivered', OK), fourth?.end('failed', NO_USER)]);
  const { entry } = await router.show(queueId);
  assert.deepEqual(
    entry.recipients.map((r) => r.status.state),
    ['delivered', 'deferred', 'deferred', 'delivered', 'failed'],
  );
  const notice = await router.delivery.next('the notice');
  assert.deepEqual(notice.to, ['alice@sender.example']);
  assert.match(await notice.content(), /Final-Recipient: rfc822; e@y\.example/);
});

test('a deferred recipient is tried again, with the attempts counted; local trouble counts none', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { first: 20, max: 40 } });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  await (await router.delivery.next()).end('deferred', LATER);
  await (await router.delivery.next('the second attempt')).end('deferred', LATER);
  const { status } = (await router.show(queueId)).entry.recipients[0] ?? {};
  assert.equal(status?.state === 'deferred' && status.attempts, 2);
  const third = await router.delivery.next('the third attempt');
  await third.end('deferred', LATER, { local: true });
  const again = (await router.show(queueId)).entry.recipients[0]?.status;
  assert.equal(again?.state === 'deferred' && again.attempts, 2);
  await (await router.delivery.next('the attempt a second later')).end('delivered', OK);
  assert.equal((await router.show(queueId)).finished, true);
});

test('recipients that were too many for an attempt with progress do not wait longer each time', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { first: 20, max: 10_000 } });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  for (let i = 0; i < 12; i++) {
    await (await router.delivery.next(`attempt ${i}`)).end('deferred', LATER, { progress: true });
  }
  const { status } = (await router.show(queueId)).entry.recipients[0] ?? {};
  assert.equal(status?.state === 'deferred' && status.attempts, 1);
});

test('a route that changes is in force at the next attempt', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { first: 10, max: 10 } });
  await router.send({ envelope: envelope(['bob@peer.example']) });
  const first = await router.delivery.next();
  router.settings.replace({
    ...router.settings.current,
    routes: [{ to: '*', via: 'smtp://relay.example:587', tls: 'required' }],
  });
  await first.end('deferred', LATER);
  const second = await router.delivery.next();
  assert.deepEqual(second.hop, {
    key: 'smtp://relay.example:587 (tls required)',
    spec: { kind: 'smtp', host: 'relay.example', port: 587 },
    tls: 'required',
  });
  await second.end('delivered', OK);
});

test('an attempt that is finished twice counts once', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  const job = await router.delivery.next();
  await job.end('deferred', LATER);
  await job.end('delivered', OK);
  assert.equal((await router.show(queueId)).entry.recipients[0]?.status.state, 'deferred');
});

test('messages beyond active-limit wait on disk and are delivered in turn', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { queue: { 'active-limit': 100 } } });
  const ids = await Promise.all(
    Array.from({ length: 250 }, (_, n) => router.send({ envelope: envelope([`u${n}@d${n}.example`]) })),
  );
  assert.equal(router.delivery.jobs.length, 100);
  assert.deepEqual(await counts(router), [250, 0, 0]);
  const seen = new Set<string>();
  for (let n = 0; n < 250; n++) {
    const job = await router.delivery.next();
    await job.content();
    seen.add(job.job.queueId);
    await job.end('delivered', OK);
  }
  assert.deepEqual([...seen].sort(), [...ids].sort());
  assert.deepEqual(await counts(router), [0, 0, 0]);
});

test('a next hop that takes all the room leaves some to the others, and loses nothing', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { queue: { 'active-limit': 100 } } });
  await router.send({ envelope: envelope(['bob@slow.example']) });
  await router.delivery.jobs[0]?.content();
  for (let n = 1; n < 120; n++) await router.send({ envelope: envelope(['bob@slow.example']) });
  assert.equal(router.delivery.jobs.length, 50);
  await router.send({ envelope: envelope(['bob@quick.example']) });
  assert.equal(router.delivery.jobs.at(-1)?.hop.key, 'mx:quick.example');
  for (let n = 0; n < 121; n++) await (await router.delivery.next(`job ${n}`)).end('delivered', OK);
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue' });
});

test('next hops that nobody has reached yet take a quarter of the room, and a few messages each', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { queue: { 'active-limit': 100 } } });
  for (let n = 0; n < 200; n++) await router.send({ envelope: envelope([`bob@silent${n % 10}.example`]) });
  assert.ok(router.delivery.jobs.length <= 40, `${router.delivery.jobs.length} wait for a connection`);
  await router.send({ envelope: envelope(['bob@quick.example']) });
  assert.equal(router.delivery.jobs.at(-1)?.hop.key, 'mx:quick.example');
  for (let n = 0; n < 201; n++) await (await router.delivery.next(`job ${n}`)).end('delivered', OK);
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue' });
});

test('a router says of a message whether it has it, in the queue or behind it, where its commit was not answered', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const abort = (queueId: string) =>
    router.service.handlers['transfer-abort']({ transfer: 'GONE', queueId }, router.context());
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  assert.deepEqual(await abort(queueId), { committed: true });
  await (await router.delivery.next()).end('delivered', OK);
  assert.deepEqual(await abort(queueId), { committed: true });
  assert.deepEqual(await abort('NONE'), {});
});

test('an 8-bit header asks for SMTPUTF8 only where the client declared it', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const rows: [boolean, boolean, string, boolean][] = [
    [false, true, 'bob@peer.example', false],
    [true, true, 'bob@peer.example', true],
    [true, false, 'bob@peer.example', false],
    [true, false, 'bøb@peer.example', true],
  ];
  for (const [smtpUtf8, eightBitHeader, to, expected] of rows) {
    await router.send({ envelope: envelope([to], { smtpUtf8 }), facts: { eightBitHeader } });
    const job = await router.delivery.next();
    assert.equal(job.job.smtpUtf8, expected, JSON.stringify([smtpUtf8, eightBitHeader, to]));
    await job.end('delivered', OK);
  }
});

async function counts(router: TestRouter): Promise<[number, number, number]> {
  const { active, deferred, hold } = await router.status();
  return [active, deferred, hold];
}
