import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { Lanes } from '#services/router/pacing/pacer.ts';
import type { AttemptTools } from '#services/router/queue/attempt.ts';
import { Queue } from '#services/router/queue/queue.ts';
import { Routing } from '#services/router/queue/routing.ts';
import { Settlement } from '#services/router/queue/settlement.ts';
import { Bodies } from '#services/router/store/bodies.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FakeDelivery, ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

test('mail that another node may take over is not looked at again and again, and goes as soon as it may', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const settings = settingsFor(folder.path);
  const slots = new Slots();
  const bodies = new Bodies(store);
  const corrupt = new Corrupt(store, slots, silentLogger);
  let reason: string | undefined = 'this node lost touch with the cluster';
  const obstacle = (): string | undefined => reason;
  const settlement = new Settlement(settings, store, bodies, slots, silentLogger);
  const parts = { settings, log: silentLogger, store, slots, bodies, corrupt };
  const lanes = new Lanes({ settings, log: silentLogger, peers: undefined });
  const queue = new Queue({ ...parts, routing: new Routing(settings), obstacle, lanes });
  const news: (boolean | undefined)[] = [];
  const copies = {
    obstacle,
    sender: { settled: async (_: unknown, { own }: { own?: boolean }) => void news.push(own) },
  };
  const delivery = new FakeDelivery();
  queue.begin(delivery, { ...parts, settlement, copies } as unknown as AttemptTools);

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
  assert.ok(slot.due > Date.now() + 300_000, `looked at again in ${slot.due - Date.now()} ms`);
  assert.deepEqual(news, [true]);

  reason = undefined;
  queue.releaseBlocked();
  await delivery.next('the message');
  queue.end();
  await store.close();
});
