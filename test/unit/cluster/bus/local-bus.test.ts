import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { type Buses, busSuite, HOME } from '#test/suites/bus.ts';
import { versionsSuite } from '#test/suites/versions.ts';

const makeBuses = async (): Promise<Buses> => {
  const bus = new LocalBus(HOME);
  return {
    serving: bus,
    calling: bus,
    settle: async () => undefined,
    [Symbol.asyncDispose]: () => bus.drain(),
  };
};
busSuite('LocalBus', makeBuses);
versionsSuite('LocalBus', makeBuses);

test('one process serves an operation once', () => {
  const bus = new LocalBus(HOME);
  const address = { service: 's', version: 1, operation: 'o' };
  const handler = async () => ({ ok: true as const, fields: {} });
  bus.serve(address, handler);
  assert.throws(() => bus.serve(address, handler), /s\.o is served twice in one process/);
  bus.serve({ ...address, version: 2 }, handler);
});
