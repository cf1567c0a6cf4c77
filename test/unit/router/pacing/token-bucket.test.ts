import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from '#services/router/pacing/token-bucket.ts';
import { seededRandom } from '#test/kit/random.ts';

/** Take tokens as soon as there are any, from `from` to `to` by a virtual clock; when they were taken. */
function drain(bucket: TokenBucket, from: number, to: number): number[] {
  const times: number[] = [];
  for (let now = from; now < to; ) {
    const wait = bucket.take(now);
    if (wait === 0) times.push(now);
    else now += Math.max(wait, 0.01);
  }
  return times;
}

for (const rate of [0.01, 1, 16.7, 50, 1000]) {
  test(`a rate of ${rate}/s is even: one immediately, then one each ${1000 / rate} ms`, () => {
    const bucket = new TokenBucket(0);
    bucket.setRate(rate, 0);
    bucket.setBusy(true, 0);
    const length = Math.max(10_000, 10_000 / rate);
    const times = drain(bucket, 0, length);
    assert.equal(times[0], 0);
    const expected = (rate * length) / 1000;
    assert.ok(Math.abs(times.length - 1 - expected) <= 1, `${times.length} of ${expected}`);
    for (const [i, at] of times.entries()) {
      if (i > 0) assert.ok(Math.abs(at - (times[i - 1] ?? 0) - 1000 / rate) < 1, `gap before ${at}`);
    }
  });
}

test('a long rest is worth one token, not a burst', () => {
  const bucket = new TokenBucket(0);
  bucket.setRate(50, 0);
  bucket.setBusy(false, 0);
  bucket.setBusy(true, 60_000);
  assert.equal(bucket.take(60_000), 0);
  assert.equal(Math.round(bucket.take(60_000)), 20);
});

test('a stall under load is made good, up to 200 ms of it', () => {
  const bucket = new TokenBucket(0);
  bucket.setRate(50, 0);
  bucket.setBusy(true, 0);
  const last = drain(bucket, 0, 1000).at(-1) ?? 0;
  assert.equal(drain(bucket, last + 150, last + 150.001).length, 7);
  assert.equal(drain(bucket, 5000, 5000.001).length, 10);
});

test('without a rate nothing comes in, and what was there stays', () => {
  const bucket = new TokenBucket(0);
  assert.equal(bucket.take(0), 0);
  assert.equal(bucket.take(1_000_000), Number.POSITIVE_INFINITY);
  bucket.setRate(1, 1_000_000);
  assert.equal(bucket.take(1_000_500), 500);
  assert.equal(bucket.isFull(1_000_900), false);
  bucket.giveBack();
  assert.equal(bucket.isFull(1_000_900), true);
  bucket.setRate(0, 1_000_900);
  assert.equal(bucket.take(9_000_000), 0);
});

test('whatever the rates and the moments: never more than the sum of the rates, a burst and what was given back', () => {
  const random = seededRandom(7);
  for (let run = 0; run < 50; run++) {
    const bucket = new TokenBucket(0);
    let allowed = 1;
    let taken = 0;
    let largest = 0;
    let rate = 0;
    for (let now = 0, step = 0; step < 500; step++) {
      const passed = random() * 300;
      now += passed;
      allowed += (rate * passed) / 1000;
      while (bucket.take(now) === 0) taken++;
      if (taken > 0 && random() < 0.1) {
        bucket.giveBack();
        allowed++;
      }
      bucket.setBusy(random() < 0.8, now);
      rate = random() < 0.2 ? 0 : random() * 100;
      largest = Math.max(largest, rate);
      bucket.setRate(rate, now);
      assert.ok(taken <= allowed + 1e-3, `${taken} of ${allowed} after ${now} ms`);
    }
    assert.ok(taken > 100);
  }
});
