import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activateKey, retireKey } from '#services/credential-store/life/life-cycle.ts';
import { AT, keyIn, NOW, recordWith, rotationOf, statesOf } from '#test/unit/credential-store/records/fixture.ts';
import { DriverBench, started, viewOf } from './fixture.ts';

test('a key retires when every signer has stopped, and its time is over by a clock that others share', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('active'), keyIn('active', 's2')])]));
  const record = bench.records.get('example.com');
  if (record === undefined) throw new Error('no record');
  for (const holder of bench.holders) if (holder.node !== 'edge-1') holder.clock = 61_000;
  bench.write(retireKey(record, 's1', { ...AT, force: false }));
  await bench.run(10_000);
  assert.equal(bench.key('s1')?.until, undefined);
  assert.equal(
    bench.key('s1')?.problem?.text,
    'the clock of node edge-1 differs by more than a minute from that of edge-2, edge-3: no transition that is due at a time is made until they are set',
  );
  // One that is wrong is outvoted.
  for (const holder of bench.holders) if (holder.node === 'edge-2') holder.clock = 0;
  await bench.run(30_000);
  const until = bench.key('s1')?.until ?? 0;
  assert.ok(until > NOW + 60_000);
  await bench.run(until - NOW - bench.time.now - 1);
  assert.equal(bench.key('s1')?.state, 'retiring');
  await bench.run(2000);
  assert.equal(bench.key('s1')?.state, 'revoked');
  await bench.run(31_000);
  assert.equal(bench.key('s1'), undefined);
});

test('a retiring key that is activated again is checked in DNS again, and signs', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('retiring', 's1', { activate: false })])]));
  await bench.run(1000);
  const record = bench.records.get('example.com');
  if (record !== undefined) bench.write(activateKey(record, 's1'));
  await bench.run(100);
  assert.equal(bench.key('s1')?.state, 'active');
  assert.equal(bench.count('look edge-3 key s1'), 1);
});

const DUE = { days: 7, at: '03:00', zone: 'UTC', parallel: false, next: NOW - 20 * 86_400_000 };
const busy = {
  ...recordWith([keyIn('active'), keyIn('created', 's2')], { rotation: rotationOf(['s1'], ['s2']) }),
  domain: 'b.example',
};

test('a scheduled rotation that was missed is made up for once', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('active')], { schedule: DUE })]));
  await bench.run(60_000);
  const record = bench.records.get('example.com');
  assert.equal(statesOf(record ?? recordWith([])), 's1:retiring s1new:active');
  assert.equal(record?.rotation?.by, 'schedule');
  assert.equal(record?.schedule?.next, Date.UTC(2026, 10, 30, 3));
});

for (const parallel of [false, true]) {
  test(`while another domain is rotated, a scheduled rotation ${parallel ? 'that may runs' : 'waits'}`, async (t) => {
    const record = recordWith([keyIn('active')], { schedule: { ...DUE, parallel } });
    const bench = new DriverBench([record, busy]);
    bench.effects.look = async (_, domain) => viewOf(domain === 'b.example' ? 'missing' : 'ok');
    await started(t, bench);
    await bench.run(60_000);
    assert.equal(bench.key('s1new') !== undefined, parallel);
    const text = 'the scheduled rotation waits until that of b.example has switched';
    assert.equal(bench.key('s1')?.problem?.text, parallel ? undefined : text);
    bench.effects.look = async () => viewOf('ok');
    await bench.run(90_000);
    assert.equal(bench.key('s1new')?.state, 'active');
    assert.equal(bench.key('s1', 'b.example')?.state === 'active', false);
  });
}

test('of two schedules that are due at the same time one starts; the other follows after its switch', async (t) => {
  const both = ['a.example', 'b.example'].map((domain) => ({
    ...recordWith([keyIn('active')], { schedule: DUE }),
    domain,
  }));
  const bench = new DriverBench(both);
  const { makeKeys, look } = bench.effects;
  bench.effects.makeKeys = (record) => bench.time.sleep(1000).then(() => makeKeys(record));
  bench.effects.look = (...asked) => bench.time.sleep(1000).then(() => look(...asked));
  await started(t, bench);
  await bench.run(90_000);
  const times = both.map(({ domain }) => bench.records.get(domain)?.rotation);
  assert.ok(times.every((r) => r?.ended?.how === 'done'));
  const [early, late] = times.toSorted((a, b) => (a?.started ?? 0) - (b?.started ?? 0));
  assert.ok((late?.started ?? 0) >= (early?.switched?.at ?? Number.POSITIVE_INFINITY));
});
