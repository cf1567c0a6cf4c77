import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnsignedCounts } from '#services/router/queue/opening/unsigned-counts.ts';

test('counts by domain and reason, most first', () => {
  const counts = new UnsignedCounts();
  counts.count('a.example', 'no key');
  counts.count('b.example', 'no key');
  counts.count('b.example', 'no key');
  counts.count('b.example', 'no From field');
  assert.deepEqual(counts.all(), [
    { domain: 'b.example', reason: 'no key', count: 2 },
    { domain: 'a.example', reason: 'no key', count: 1 },
    { domain: 'b.example', reason: 'no From field', count: 1 },
  ]);
});

test('whatever senders invent, it stays small and the sum stays right', () => {
  const counts = new UnsignedCounts();
  for (let i = 0; i < 5000; i++) counts.count(`d${i % 2500}.example`, `reason ${i}`);
  for (let i = 0; i < 100; i++) counts.count('d1.example', `reason of a message ${i}`);
  const all = counts.all();
  assert.ok(all.length <= 201 * 6, `${all.length} counts`);
  assert.ok(all.filter((c) => c.domain === 'd1.example').length <= 6);
  assert.equal(
    all.reduce((sum, c) => sum + c.count, 0),
    5100,
  );
});
