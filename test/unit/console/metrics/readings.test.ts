import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BusReply } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { read } from '#services/console/metrics/readings.ts';
import { metrics } from '#shared/metrics.ts';

/** What a process says of its services when somebody asks. */

const COPIES = { elsewhere: 3, missing: 1, held: 2, takenOver: 0, handedOver: 0, draining: false, drained: false };
const ROUTER = {
  ...{ node: 'edge-1', active: 4, deferred: 5, hold: 6, corrupt: 1, refusing: 'the disk is full' },
  ...{ unsigned: [{ domain: 'example.com', reason: 'no key', count: 7 }], sent: [] },
  copies: { store: 's', lease: 'held', ...COPIES },
};
const PAUSED = { name: 'ops', waiting: 3, sent: 0, dropped: 0, paused: { at: 1 } };

async function series(): Promise<string[]> {
  const text = await metrics.metrics();
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

function node() {
  const settings = new Settings(ConfigSchema.parse({ node: { name: 'edge-1', hostname: 'mx.example.com' } }));
  const bus = new LocalBus('edge-1');
  const answer = (service: string, operation: string, fields: unknown) =>
    bus.serve({ service, version: 1, operation }, async (): Promise<BusReply> => ({ ok: true, fields }));
  return { bus, settings, answer };
}

test('of a service that does not answer any more nothing is said but that', async () => {
  const { bus, settings, answer } = node();
  let stop = answer('router', 'status-show', ROUTER);
  answer('router', 'webhook-list', { node: 'edge-1', webhooks: [PAUSED] });
  await read({ bus, settings }, ['router']);
  const before = await series();
  for (const line of [
    'sealpost_service_up{service="router"} 1',
    'sealpost_queue_messages{state="deferred"} 5',
    'sealpost_queue_refusing 1',
    'sealpost_queue_lease 1',
    'sealpost_queue_copies{state="held"} 2',
    'sealpost_damaged{what="messages"} 1',
    'sealpost_unsigned_messages{domain="example.com"} 7',
    'sealpost_webhook_waiting_events{service="router",webhook="ops"} 3',
    'sealpost_webhook_failing{service="router",webhook="ops"} 2',
  ])
    assert.ok(before.includes(line), `${line}\n${before.join('\n')}`);
  stop();
  await read({ bus, settings }, ['router']);
  const gone = (lines: string[]) =>
    lines.filter((line) => /^sealpost_(queue|damaged|unsigned|dest|service|webhook_[wf])/.test(line));
  assert.deepEqual(gone(await series()), ['sealpost_service_up{service="router"} 0']);

  const { copies: _, ...alone } = ROUTER;
  stop = answer('router', 'status-show', ROUTER);
  await read({ bus, settings }, ['router']);
  stop();
  answer('router', 'status-show', alone);
  await read({ bus, settings }, ['router']);
  assert.deepEqual(
    (await series()).filter((line) => /lease|copies/.test(line)),
    [],
  );
});

test('policy is up where it answers', async () => {
  const { bus, settings, answer } = node();
  await read({ bus, settings }, ['policy']);
  assert.ok((await series()).includes('sealpost_service_up{service="policy"} 0'));
  answer('policy', 'lock-list', { locks: [], more: 0 });
  await read({ bus, settings }, ['policy']);
  assert.ok((await series()).includes('sealpost_service_up{service="policy"} 1'));
});
