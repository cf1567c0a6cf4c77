import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { SuspendedMail } from '#services/router/directives/suspended.ts';
import { Pacer } from '#services/router/pacing/pacer.ts';
import { Queue } from '#services/router/queue/queue.ts';
import { Routing } from '#services/router/queue/routing.ts';
import { Settlement } from '#services/router/queue/settlement.ts';
import { Signing } from '#services/router/queue/signing.ts';
import { Bodies } from '#services/router/store/bodies.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FakeDelivery, FakeSigner, ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

test('mail that another node may take over is not looked at again and again, and goes as soon as it may', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const settings = settingsFor(folder.path);
  const slots = new Slots();
  const bodies = new Bodies(store);
  const corrupt = new Corrupt(store, slots, silentLogger);
  let reason: string | undefined = 'this node lost touch with the cluster';
  const obstacle = (): string | undefined => reason;
  const settlement = new Settlement({ settings, store, bodies, slots, log: silentLogger });
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

  const id = newQueueId();
  const facts = { headerBytes: 1, size: 1, bodyHash: '', eightBitBody: false, eightBitHeader: false };
  await store.write([
    putBytes(keys.body(id, 0), Buffer.from('x')),
    putJson(keys.recipient(id, 0), { recipient: { address: 'bob@peer.example' }, status: { state: 'waiting' } }),
    putJson(keys.message(id), {
      ...{
        reversePath: '',
        smtpUtf8: false,
        origin: ORIGIN,
        trace: 'T',
        arrived: Date.now(),
        prepend: '',
        junk: false,
      },
      ...{ originating: false, chunks: [1], recipients: 1, held: false, delayNoticed: false, facts },
    }),
  ]);
  const slot = slots.add(id, 'deferred');
  queue.schedule(slot, 0, 'active');
  await waitFor(() => slot.state === 'deferred' && slot.message === undefined, { what: 'it to wait' });
  const wait = slots.schedule.due(slot) - performance.now();
  assert.ok(wait > 300_000, `looked at again in ${wait} ms`);
  assert.deepEqual(news, [true]);

  reason = undefined;
  queue.releaseBlocked();
  await delivery.next('the message');
  queue.end();
  await store.close();
});
