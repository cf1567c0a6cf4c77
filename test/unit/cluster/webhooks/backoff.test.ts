import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedWait, KEPT_MS, waitAfter } from '#cluster/webhooks/backoff.ts';

test('each failure in a row doubles the wait, up to an hour, give or take a quarter', () => {
  const middle = (failures: number): number => waitAfter(failures, 0.5);
  assert.deepEqual([1, 2, 3, 10, 11, 1000].map(middle), [5000, 10_000, 20_000, 2_560_000, 3_600_000, 3_600_000]);
  assert.deepEqual([waitAfter(1, 0), waitAfter(1, 1)], [3750, 6250]);
  assert.equal(waitAfter(0, 0.5), 5000);
});

test('Retry-After is seconds or a date, and no longer than an event is kept', () => {
  const now = Date.UTC(2026, 10, 30, 12);
  for (const [text, wait] of [
    [undefined, 0],
    ['', 0],
    ['soon', 0],
    ['120', 120_000],
    [' 120 ', 120_000],
    ['-5', 0],
    ['999999999', KEPT_MS],
    ['Mon, 30 Nov 2026 12:01:00 GMT', 60_000],
    ['Mon, 30 Nov 2026 11:00:00 GMT', 0],
  ] as const)
    assert.equal(askedWait(text, now), wait, text);
});
