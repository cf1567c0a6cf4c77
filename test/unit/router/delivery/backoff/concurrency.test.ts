import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Concurrency } from '#services/router/delivery/backoff/concurrency.ts';
import { mockClocks } from '#test/kit/clocks.ts';

const CONFIGURED = 20;

function succeed(concurrency: Concurrency, times: number): void {
  for (let i = 0; i < times; i++) concurrency.succeeded(CONFIGURED);
}

test('answers that ask for less halve the connections, once a second, and never to none', (t) => {
  const clocks = mockClocks(t);
  const concurrency = new Concurrency();
  assert.equal(concurrency.atMost(CONFIGURED), CONFIGURED);
  const seen: number[] = [];
  for (let second = 0; second < 6; second++) {
    for (let answers = 0; answers < 5; answers++) concurrency.pressed(20);
    seen.push(concurrency.atMost(CONFIGURED));
    clocks.tick(1000);
  }
  assert.deepEqual(seen, [10, 5, 2, 1, 1, 1]);
});

test('each round of successes adds a connection after a second, up to the configured number', (t) => {
  const clocks = mockClocks(t);
  const concurrency = new Concurrency();
  concurrency.pressed(6);
  succeed(concurrency, 100);
  assert.equal(concurrency.atMost(CONFIGURED), 3);
  clocks.tick(1000);
  succeed(concurrency, 1);
  assert.equal(concurrency.atMost(CONFIGURED), 4);
  succeed(concurrency, 4 + 5 + 6);
  assert.equal(concurrency.atMost(CONFIGURED), 7);
  succeed(concurrency, 1000);
  assert.equal(concurrency.atMost(CONFIGURED), CONFIGURED);
  assert.equal(concurrency.atMost(1000), 1000, 'there is no limit any more');
});

test('after a refused connection no other one is tried for five seconds, then one at a time', (t) => {
  const clocks = mockClocks(t);
  const concurrency = new Concurrency();
  concurrency.refused(4);
  succeed(concurrency, 100);
  assert.equal(concurrency.atMost(CONFIGURED), 4);
  clocks.tick(5000);
  succeed(concurrency, 1);
  assert.equal(concurrency.atMost(CONFIGURED), 5);
  succeed(concurrency, 4);
  assert.equal(concurrency.atMost(CONFIGURED), 5);
});
