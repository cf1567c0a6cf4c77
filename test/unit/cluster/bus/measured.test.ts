import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { measured } from '#cluster/bus/measured.ts';
import { SealpostError } from '#shared/errors.ts';
import { seriesOf } from '#shared/metrics.ts';

/** What is counted of the calls over a bus. */

const ADDRESS = { service: 'listener', version: 1, operation: 'challenge-check' };
const REQUEST = { fields: {}, timeout: 1000 };

test('another process does not choose what a call is counted as', async () => {
  const bus = measured(new LocalBus('edge-1'));
  let n = 0;
  const stop = bus.serve(ADDRESS, async () => ({ ok: false, code: `made-up-${n++}`, message: '' }));
  for (let calls = 0; calls < 50; calls++) await bus.call(ADDRESS, REQUEST);
  stop();
  bus.serve(ADDRESS, async () => ({ ok: false, code: 'not-found', message: '' }));
  await bus.call(ADDRESS, REQUEST);
  await assert.rejects(bus.call({ ...ADDRESS, operation: 'x' }, REQUEST), SealpostError);
  const all = await seriesOf(['sealpost_bus_calls_total']);
  assert.deepEqual(all.map(({ labels, value }) => [labels['operation'], labels['result'], value]).toSorted(), [
    ['challenge-check', 'not-found', 1],
    ['challenge-check', 'other', 50],
    ['x', 'unavailable', 1],
  ]);
});
