import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import { EVENT_DATA, type EventType } from '#shared/webhooks/events.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';
import { envelope, LATER, NO_USER, OK, ORIGIN, type StartOptions, TestRouter } from '#test/unit/router/fixture.ts';

/** What webhooks hear of mail, from a router whose next hops do as the test says. */

type Data = Record<string, unknown>;

async function start(hook: object = {}, options: StartOptions = {}) {
  const resources = new AsyncDisposableStack();
  const { path } = resources.use(await tempDir('hooks'));
  const receiver = resources.use(await Receiver.start());
  const entry = { name: 'ops', url: receiver.url, secret: SECRET, events: ['message.*'], ...hook };
  const router = resources.use(await TestRouter.start(path, { config: { webhooks: [entry] }, ...options }));
  return { path, receiver, entry, router, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** `type`, and what the receiver was told of it, which has the form that is documented. */
async function told(receiver: Receiver, count: number): Promise<{ id: string; type: EventType; data: Data }[]> {
  const received = await receiver.first(count);
  return received.map(({ id, event: { type, data } }) => {
    assert.doesNotThrow(() => EVENT_DATA[type].parse(data), type);
    return { id, type, data: data as Data };
  });
}

test('each recipient is told of with what became of it', async () => {
  await using all = await start();
  const origin = { ...ORIGIN, kind: 'submission' as const, user: 'alice' };
  const to = ['bob@peer.example', { address: 'carol@peer.example', original: 'team@sender.example' }];
  const queueId = await all.router.send({ envelope: envelope(to), origin });
  const given = await all.router.delivery.next();
  const results = [
    await given.endOne('bob@peer.example', 'delivered', OK),
    await given.endOne('carol@peer.example', 'failed', NO_USER),
  ];
  await given.job.finish(results);
  const events = await told(all.receiver, 2);
  const [bob, carol] = ['message.delivered', 'message.failed'].map((type) => events.find((one) => one.type === type));
  assert.equal(bob?.id, `msg_${queueId}_0_delivered`);
  assert.equal(carol?.id, `msg_${queueId}_1_failed`);
  const { arrived, ...data } = carol?.data ?? {};
  assert.ok(Math.abs(Date.now() - Date.parse(String(arrived))) < 60_000);
  assert.deepEqual(data, {
    ...{ node: 'edge-1', queueId, messageId: '<1@sender.example>', kind: 'submission', user: 'alice' },
    ...{ from: 'alice@sender.example', to: 'carol@peer.example', originalTo: 'team@sender.example', size: 2000 },
    ...{ nextHop: given.hop.key, host: 'mx.peer.example[192.0.2.1]:25', signatures: [] },
    reply: { code: 550, enhanced: '5.1.1', text: 'No such user' },
  });
});

test('a recipient that is put off is told of each time, and an operator who removes it fails it', async () => {
  await using all = await start({}, { times: { first: 50, max: 50 } });
  const queueId = await all.router.send({ envelope: envelope(['bob@peer.example']) });
  for (let n = 0; n < 2; n++) await (await all.router.delivery.next()).end('deferred', LATER);
  const events = await told(all.receiver, 2);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['message.deferred', 'message.deferred'],
  );
  assert.equal(new Set(events.map(({ id }) => id)).size, 2);
  assert.deepEqual(events.map(({ data }) => data['attempts']).toSorted(), [1, 2]);
  await all.router.service.handlers['message-remove']({ queueId, notify: false }, all.router.context());
  const last = (await told(all.receiver, 3)).at(-1);
  assert.equal(last?.type, 'message.failed');
  assert.match(JSON.stringify(last?.data['reply']), /an operator took the message out/);
});

test('mail that is too old expires', async () => {
  await using all = await start({ events: ['message.expired'] }, { times: { expire: 1 } });
  await all.router.send({ envelope: envelope(['bob@peer.example']) });
  await (await all.router.delivery.next()).end('deferred', LATER);
  const [event] = await told(all.receiver, 1);
  assert.equal(event?.type, 'message.expired');
});

test('a webhook hears of what it wants alone, and of its domains: sender, recipient, and as the client named it', async () => {
  await using all = await start({ events: ['message.delivered'], domains: ['sender.example', 'peer.example'] });
  const send = async (reversePath: string, address: string, original?: string): Promise<void> => {
    const to = { address, ...(original !== undefined && { original }) };
    await all.router.send({ envelope: envelope([to], { reversePath }) });
    await (await all.router.delivery.next()).end('delivered', OK);
  };
  await send('a@other.example', 'b@else.example');
  await send('a@mail.sender.example', 'c@else.example');
  await send('', 'd@peer.example');
  await send('a@other.example', 'e@else.example', 'e@peer.example');
  await all.router.send({ envelope: envelope(['f@peer.example']) });
  await (await all.router.delivery.next()).end('failed', NO_USER);
  const events = await told(all.receiver, 3);
  assert.deepEqual(events.map(({ data }) => data['to']).toSorted(), [
    'c@else.example',
    'd@peer.example',
    'e@else.example',
  ]);
  await all.router.stop();
  assert.equal(all.receiver.received.length, 3);
});

test('with what name this server logs in at a smart host is told to nobody', async () => {
  await using temp = await tempDir('hooks');
  await using receiver = await Receiver.start();
  const entry = { name: 'ops', url: receiver.url, secret: SECRET, events: ['message.*'] };
  const routes = [{ to: '*', via: 'smtp://relay@edge.example@127.0.0.1:2525', password: 'x', tls: 'verified' }];
  await using router = await TestRouter.start(temp.path, { config: { webhooks: [entry], routes } });
  await router.send({ envelope: envelope(['bob@peer.example']) });
  const given = await router.delivery.next();
  assert.match(given.hop.key, /relay@edge\.example@/);
  await given.end('delivered', OK);
  const [event] = await told(receiver, 1);
  assert.match(String(event?.data['nextHop']), /^smtp:\/\/127\.0\.0\.1:2525/);
});

test('what was settled is told by the next process, where this one ended before', async () => {
  await using all = await start({ events: ['message.delivered'] });
  all.receiver.react = () => ({ status: 503 });
  const queueId = await all.router.send({ envelope: envelope(['bob@peer.example']) });
  await (await all.router.delivery.next()).end('delivered', OK);
  await all.receiver.first(1);
  await all.router.stop();
  all.receiver.received.length = 0;
  all.receiver.react = () => ({ status: 200 });
  await using again = await TestRouter.start(all.path, { config: { webhooks: [all.entry] } });
  const [event] = await told(all.receiver, 1);
  assert.equal(event?.id, `msg_${queueId}_0_delivered`);
  const { handlers } = again.service;
  await waitFor(async () => (await handlers['webhook-list']({}, again.context())).webhooks[0]?.waiting === 0, {
    what: 'nothing to wait',
  });
  assert.equal((await handlers['webhook-test']({ name: 'ops' }, again.context())).status, 200);
});

test('where no webhook wants events of mail, nothing is written for any', async () => {
  await using all = await start({ events: ['alarm.*'] });
  await all.router.send({ envelope: envelope(['bob@peer.example']) });
  await (await all.router.delivery.next()).end('delivered', OK);
  await waitFor(async () => (await all.router.status()).active === 0, { what: 'an empty queue' });
  await all.router.stop();
  await using undo = new AsyncDisposableStack();
  const store = undo.adopt(await Store.open(`${all.path}/queue`, silentLogger), (opened) => opened.close());
  assert.deepEqual(await Array.fromAsync(store.keys({ gte: 'webhook', lt: 'webhooz' })), []);
  assert.equal(all.receiver.received.length, 0);
});
