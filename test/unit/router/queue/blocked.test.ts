import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { SuspendedMail } from '#services/router/directives/suspended.ts';
import { Pacer } from '#services/router/pacing/pacer.ts';
import { Signing } from '#services/router/queue/opening/signing.ts';
import { Queue } from '#services/router/queue/queue.ts';
import { Routing } from '#services/router/queue/routing.ts';
import { Settlement } from '#services/router/queue/settling/settlement.ts';
import { Bodies } from '#services/router/store/bodies.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FakeDelivery, FakeSigner, indexOf, noEvents, OK, ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

/** A queue whose mail must not go now: another node may deliver it, or the store fails. */

const DAY_MS = 86_400_000;

/** A queue over an empty store. `news`: what it said of the messages that it settled. */
async function queueOver(path: string, obstacle: () => string | undefined) {
  const store = await Store.open(path, silentLogger);
  const settings = settingsFor(path);
  const slots = new Slots();
  const bodies = new Bodies(store);
  const corrupt = new Corrupt(store, slots, silentLogger);
  const events = noEvents(settings);
  const index = await indexOf(store);
  const settlement = new Settlement({ settings, store, bodies, slots, index, events, log: silentLogger });
  const common = { settings, log: silentLogger, store, slots, bodies, corrupt };
  const pacer = new Pacer({ settings, log: silentLogger, peers: undefined });
  const news: (boolean | undefined)[] = [];
  const queue = new Queue({
    ...{ ...common, routing: new Routing(settings), pacer, settlement, obstacle, suspended: new SuspendedMail() },
    signing: new Signing(new FakeSigner().client, silentLogger),
    onSettled: async (_, { own }) => void news.push(own),
  });
  const delivery = new FakeDelivery();
  queue.begin(delivery);
  const close = async (): Promise<void> => {
    queue.end();
    await store.close();
  };
  return { store, slots, queue, delivery, news, [Symbol.asyncDispose]: close };
}

/** Write a message to bob@peer.example; resolves to its id. */
async function write(store: Store, { reversePath = '', arrived = Date.now() } = {}): Promise<string> {
  const id = newQueueId();
  const facts = { headerBytes: 1, size: 1, bodyHash: '', eightBitBody: false, eightBitHeader: false };
  await store.write([
    putBytes(keys.body(id, 0), Buffer.from('x')),
    putJson(keys.recipient(id, 0), { recipient: { address: 'bob@peer.example' }, status: { state: 'waiting' } }),
    putJson(keys.message(id), {
      ...{ reversePath, smtpUtf8: false, origin: ORIGIN, trace: 'T', arrived, prepend: '', junk: false },
      ...{ originating: false, chunks: [1], recipients: 1, held: false, delayNoticed: false, facts },
    }),
  ]);
  return id;
}

test('mail that another node may take over is not looked at again and again, and goes as soon as it may', async () => {
  await using folder = await tempDir();
  let reason: string | undefined = 'this node lost touch with the cluster';
  await using all = await queueOver(folder.path, () => reason);
  const { store, slots, queue, delivery } = all;
  const slot = slots.add(await write(store), 'deferred');
  queue.schedule(slot, 0, 'active');
  await waitFor(() => slot.state === 'deferred' && slot.message === undefined, { what: 'it to wait' });
  const wait = slots.schedule.due(slot) - performance.now();
  assert.ok(wait > 300_000, `looked at again in ${wait} ms`);
  assert.deepEqual(all.news, [true]);

  reason = undefined;
  queue.releaseBlocked();
  await delivery.next('the message');
});

test('mail that another node may deliver does not expire here, and its sender hears nothing from this node', async () => {
  await using folder = await tempDir();
  let reason: string | undefined = 'node edge-2 took the message over';
  await using all = await queueOver(folder.path, () => reason);
  const { store, slots, queue, delivery } = all;
  const id = await write(store, { reversePath: 'alice@sender.example', arrived: Date.now() - 30 * DAY_MS });
  const slot = slots.add(id, 'deferred');
  queue.schedule(slot, 0, 'active');
  await waitFor(() => all.news.length > 0, { what: 'it to be looked at' });
  await waitFor(() => slot.message === undefined, { what: 'it to wait' });
  assert.deepEqual([all.news, slots.has(slot), delivery.jobs.length], [[true], true, 0]);

  reason = undefined;
  queue.releaseBlocked();
  const job = await delivery.next('the message');
  reason = 'this node lost touch with the cluster';
  await job.end('deferred', { code: 451, enhanced: '4.2.0', text: 'later' });
  assert.deepEqual([all.news, slots.has(slot), delivery.jobs.length], [[true, false], true, 0]);
});

test('mail goes when a store that failed works again, although nothing was due meanwhile', async () => {
  await using folder = await tempDir();
  await using all = await queueOver(folder.path, () => undefined);
  const { store, slots, queue, delivery } = all;
  const [first, second] = [slots.add(newQueueId(), 'deferred'), slots.add(await write(store), 'deferred')];
  queue.schedule(first, Date.now() + 100, 'deferred');
  queue.schedule(second, Date.now() + 300, 'deferred');
  let failure: Error | undefined = new Error('the disk is full');
  const asked = mock.getter(store, 'failure', () => failure);
  slots.remove(first);
  await waitFor(() => asked.mock.callCount() > 0, { what: 'the queue to look' });
  failure = undefined;
  await delivery.next('the message');
});

test('a message that is called while it is read is read once', async () => {
  await using folder = await tempDir();
  await using all = await queueOver(folder.path, () => undefined);
  const { store, slots, queue, delivery } = all;
  const slot = slots.add(await write(store), 'deferred');
  const reads = mock.method(store, 'get');
  queue.schedule(slot, 0, 'active');
  queue.schedule(slot, 0, 'active');
  await (await delivery.next('the message')).end('delivered', OK);
  assert.equal(reads.mock.calls.filter(({ arguments: [key] }) => key === keys.message(slot.id)).length, 1);
});

test('a finished message that a start finds is removed with the place of its copy, and the copy goes too', async () => {
  await using folder = await tempDir();
  await using all = await queueOver(folder.path, () => undefined);
  const { store, slots, queue, news } = all;
  const id = await write(store);
  const outcome = { at: Date.now(), reply: OK };
  const place = { store: 'STORE', node: 'edge-2', generation: 1 };
  await store.write([
    putJson(keys.recipient(id, 0), {
      recipient: { address: 'bob@peer.example' },
      status: { state: 'delivered', outcome },
    }),
    putJson(keys.place(id), place),
  ]);
  queue.schedule(slots.add(id, 'deferred', place), 0, 'active');
  await waitFor(() => news.length > 0, { what: 'the copy to be told' });
  assert.deepEqual(news, [false]);
  assert.deepEqual(await Array.fromAsync(store.keys({ gte: '', lt: '~' })), [keys.receipt(id)]);
});
