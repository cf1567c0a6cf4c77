import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Counts, ProcessTraffic, Traffic } from '#services/console/reports/traffic/facts.ts';
import { ratesOf, remember } from '#services/console/reports/traffic/rates.ts';

/** What happened between two moments. */

const NONE: Counts = {
  ...{ accepted: 0, refused: 0, putOff: 0, delivered: 0, deferred: 0, failed: 0 },
  ...{ signed: 0, sent: 0, encrypted: 0 },
};

function moment(
  at: number,
  ...processes: (Partial<Omit<ProcessTraffic, 'counts'>> & { counts?: Partial<Counts> })[]
): Traffic {
  const all = processes.map(({ counts, ...one }) => ({
    ...{ node: 'edge-1', process: 'a', counts: { ...NONE, ...counts } },
    ...one,
  }));
  return { at, processes: all as ProcessTraffic[], silent: [] };
}

test('rates are those of the time between', () => {
  const before = moment(1000, { counts: { accepted: 100, delivered: 90, signed: 90, sent: 90, encrypted: 50 } });
  const after = moment(3000, { counts: { accepted: 120, delivered: 100, signed: 95, sent: 100, encrypted: 60 } });
  const { all, nodes } = ratesOf(before, after);
  assert.equal(all.rates.accepted, 10);
  assert.equal(all.rates.delivered, 5);
  assert.equal(all.signed, 0.5);
  assert.equal(all.encrypted, 1);
  assert.deepEqual([...nodes], [['edge-1', all]]);
});

test('processes of a node are one node, queues and sessions are those of now', () => {
  const queue = { active: 1, deferred: 2, hold: 3 };
  const parts = (accepted: number): Parameters<typeof moment>[1][] => [
    { process: 'listener', counts: { accepted }, sessions: 7 },
    { process: 'router', queue },
    { node: 'edge-2', process: 'other', counts: { accepted }, sessions: 1, queue },
  ];
  const { all, nodes } = ratesOf(moment(0, ...parts(0)), moment(1000, ...parts(4)));
  assert.equal(nodes.get('edge-1')?.rates.accepted, 4);
  assert.deepEqual(nodes.get('edge-1')?.queue, queue);
  assert.equal(nodes.get('edge-1')?.sessions, 7);
  assert.equal(all.rates.accepted, 8);
  assert.deepEqual(all.queue, { active: 2, deferred: 4, hold: 6 });
  assert.equal(all.sessions, 8);
});

test('nothing delivered has no share', () => {
  const { all } = ratesOf(moment(0, {}), moment(1000, {}));
  assert.equal(all.signed, undefined);
  assert.equal(all.encrypted, undefined);
});

test('a process that is seen for the first time adds nothing; one that was silent adds what it counted meanwhile', () => {
  const [first, second, third] = [
    moment(0, { process: 'a', counts: { accepted: 10 } }),
    moment(1000, { process: 'b', counts: { accepted: 5000 } }),
    moment(2000, { process: 'a', counts: { accepted: 30 } }, { process: 'b', counts: { accepted: 5001 } }),
  ];
  assert.equal(ratesOf(first, second).all.rates.accepted, 0);
  assert.equal(ratesOf(remember(first, second), third).all.rates.accepted, 21);
});

test('a process that began anew is another one', () => {
  const before = moment(0, { process: 'a', counts: { accepted: 1000 } });
  const after = moment(1000, { process: 'new', counts: { accepted: 3 } });
  assert.equal(ratesOf(before, after).all.rates.accepted, 0);
});
