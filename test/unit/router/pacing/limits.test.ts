import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectionsOf,
  type DestinationLimit,
  describeLimit,
  limitFor,
  window,
} from '#services/router/pacing/limits.ts';

const perS = (count: number) => ({ count, per: 1000 });
const LIMITS: DestinationLimit[] = [
  { to: '*', messages: perS(20) },
  { to: 'example.net', messages: perS(50) },
  { to: 'big.example.net', messages: perS(5), connections: 3 },
];

for (const [domain, key] of [
  ['example.net', 'example.net'],
  ['a.example.net', 'example.net'],
  ['big.example.net', 'big.example.net'],
  ['x.big.example.net', 'big.example.net'],
  ['notexample.net', 'notexample.net'],
  ['other.org', 'other.org'],
] as const) {
  test(`mail for ${domain} counts for ${key}, and so does the key`, () => {
    assert.equal(limitFor(LIMITS, domain)?.key, key);
    assert.deepEqual(limitFor(LIMITS, key), limitFor(LIMITS, domain));
  });
}

test('without * other domains have no limit', () => {
  assert.equal(limitFor(LIMITS.slice(1), 'other.org'), undefined);
  assert.equal(limitFor([], 'example.net'), undefined);
});

test('connections: rounded down, one at least where there is a share, and never more in sum than the limit', () => {
  const limit = { to: 'x', connections: 10 };
  assert.equal(connectionsOf(limit, 1), 10);
  assert.equal(connectionsOf(limit, 1 / 3), 3);
  assert.equal(connectionsOf(limit, 0.01), 1);
  assert.equal(connectionsOf(limit, 0), 0);
  assert.equal(connectionsOf({ to: 'x' }, 1), undefined);
  for (let nodes = 1; nodes <= 10; nodes++) assert.ok((connectionsOf(limit, 1 / nodes) ?? 0) * nodes <= 10);
});

test('what is in memory: a few seconds’ worth, within bounds', () => {
  assert.equal(window({ to: 'x', messages: perS(50) }), 100);
  assert.equal(window({ to: 'x', messages: { count: 10, per: 3_600_000 } }), 10);
  assert.equal(window({ to: 'x', messages: perS(50_000) }), 2000);
  assert.equal(window({ to: 'x', connections: 40 }), 80);
});

test('a limit in words', () => {
  const limit = { to: 'x', messages: { count: 1000, per: 3_600_000 }, connections: 9 };
  assert.equal(
    describeLimit('x.example', limit, 1 / 3),
    'x.example: 1000/h, 333/h on this node; 9 concurrent, 3 on this node',
  );
});
