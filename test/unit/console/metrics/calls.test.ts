import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, serve } from '#cluster/actor.ts';
import type { BusReply } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { madeOf, servedOf } from '#cluster/call-counts.ts';
import { silentLogger } from '#shared/log.ts';
import { metrics, seriesOf } from '#shared/metrics.ts';
import { TestService, testContract } from '#test/suites/bus.ts';
import '#services/console/metrics/calls.ts';

/** What is counted of the calls between services. */

/** Other tests of this process call the service of the suites too. */
const COUNTED: typeof testContract = { ...testContract, name: 'counted-service' as 'test-service' };

const made = async () => {
  const all = await seriesOf(['sealpost_bus_calls_total']);
  const ours = all.filter(({ labels }) => labels['service'] === COUNTED.name);
  return ours.map(({ labels, value }) => [labels['operation'], labels['result'], value]).toSorted();
};

test('calls are counted by their end, and another process does not choose the words', async () => {
  const bus = new LocalBus('edge-1');
  const life = { start: async () => undefined, stop: async () => undefined };
  const actor = serve(bus, { contract: COUNTED, handlers: new TestService().handlers, ...life }, silentLogger);
  const call = client(bus, COUNTED);
  await call.digest({});
  await call.digest({});
  await assert.rejects(call.fail({ how: 'not-found' }), { code: 'not-found' });
  actor.close();
  await assert.rejects(call.digest({}), { code: 'unavailable' });
  let n = 0;
  const strange = { call: async (): Promise<BusReply> => ({ ok: false, code: `made-up-${n++}`, message: '' }) };
  for (let calls = 0; calls < 50; calls++) {
    await assert.rejects(client(strange, COUNTED).fail({ how: '' }), { code: `made-up-${calls}` });
  }
  assert.deepEqual(await made(), [
    ['digest', 'ok', 2],
    ['digest', 'unavailable', 1],
    ['fail', 'not-found', 1],
    ['fail', 'other', 50],
  ]);
  assert.equal(
    servedOf(COUNTED.name, 'digest').buckets.reduce((a, b) => a + b, 0),
    2,
  );
});

test('durations are in the first bucket that they fit, and all below it in the text for Prometheus', async () => {
  const counts = servedOf('clock-service', 'wait');
  for (const ms of [0.2, 1, 1.1, 99, 100, 20_000]) counts.took(ms);
  const text = await metrics.metrics();
  const lines = text.split('\n').filter((line) => line.includes('clock-service'));
  const value = (part: string): string | undefined =>
    lines
      .find((line) => line.includes(part))
      ?.split(' ')
      .at(-1);
  const upTo = ['0.001', '0.005', '0.02', '0.1', '0.5', '2', '10', '+Inf'].map((le) => value(`le="${le}"`));
  assert.deepEqual(upTo, ['2', '3', '3', '5', '5', '5', '5', '6']);
  assert.equal(value('_count{'), '6');
  assert.equal(value('_sum{'), '20.2013');
});

test('an operation that nobody called is not there', async () => {
  madeOf('quiet-service', 'wait');
  servedOf('quiet-service', 'wait');
  assert.doesNotMatch(await metrics.metrics(), /quiet-service/);
});
