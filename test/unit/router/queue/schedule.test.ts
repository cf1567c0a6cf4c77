import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localDelay, nextAttempt, retryDelay } from '#services/router/queue/schedule.ts';

const S = 1000;
const M = 60 * S;
const H = 60 * M;

test('retry delays double from first to max, whatever the count, plus or minus a tenth, and are never less than first', () => {
  const limits = { first: 5 * M, max: 4 * H };
  for (const [attempts, random, expected] of [
    [0, 0, 5 * M],
    [1e9, 0.5, 4 * H],
    [1, 0, 5 * M],
    [1, 1, 5.5 * M],
    [2, 0, 9 * M],
    [2, 0.5, 10 * M],
    [6, 0.5, 160 * M],
    [7, 0.5, 4 * H],
    [50, 0, 3.6 * H],
  ] as const) {
    assert.equal(retryDelay(attempts, limits, random), expected, `attempt ${attempts}`);
  }
  // A first delay above the longest one is the longest one.
  assert.equal(retryDelay(1, { first: 8 * H, max: 4 * H }, 0), 4 * H);
});

test('a wait that the next hop asks for is kept to, within bounds', () => {
  const limits = { first: 5 * M, max: 4 * H };
  for (const [askedMs, attempts, expected] of [
    // Longer than ours: up to an hour, however often it was tried, and no longer than the longest wait.
    [6 * M, 1, 6 * M + S],
    [30 * M, 2, 30 * M + S],
    [H, 4, H + S],
    [20 * H, 1, H + S],
    // Shorter than ours: for three attempts, and not too short.
    [M, 1, M + S],
    [S, 1, 10 * S],
    [M, 3, M + S],
    [M, 4, 40 * M],
  ] as const) {
    const [least, most] = [0, 1].map((random) => retryDelay(attempts, limits, random, askedMs));
    const what = `asked for ${askedMs / S} s after attempt ${attempts}: ${least} to ${most}`;
    assert.ok(Math.abs((least ?? 0) / expected - 1) <= 0.11 && (most ?? 0) <= expected * 1.11, what);
    if (attempts <= 3 && askedMs <= H) assert.ok((least ?? 0) >= askedMs, what);
  }
  assert.equal(
    retryDelay(1, { first: 1 * S, max: 2 * S }, 0.5, 5 * M),
    2.2 * S,
    'never longer than max, but for a tenth',
  );
  assert.equal(retryDelay(1, { first: 1 * S, max: H }, 0, 8 * S), 9 * S, 'a short first wait gives way');
});

test('trouble of our own is tried again soon, and never late', () => {
  for (const [tries, random, expected] of [
    [0, 0.5, 1 * S],
    [1e9, 1, 33 * S],
    [1, 0, 0.9 * S],
    [2, 0.5, 2 * S],
    [5, 0.5, 16 * S],
    [6, 0.5, 30 * S],
  ] as const) {
    assert.equal(localDelay(tries, random), expected, `try ${tries}`);
  }
});

test('the last attempt comes at the end of the life of a message, after that it expires', () => {
  const arrived = 1_000_000;
  const expire = 10 * M;
  for (const [now, delay, expected] of [
    [arrived + expire, 5 * M, 'expired'],
    [arrived + expire + 1, 1, 'expired'],
    [arrived + expire - 1, 5 * M, arrived + expire],
    [arrived, 5 * M, arrived + 5 * M],
    [arrived, 11 * M, arrived + expire],
  ] as const) {
    assert.equal(nextAttempt(now, delay, arrived, expire), expected);
  }
});
