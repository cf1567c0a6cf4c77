import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counted, SlidingCounts, waitFor } from '#services/policy/rates/sliding-counts.ts';
import { seededRandom } from '#test/kit/random.ts';

const PER = 60_000;

test('a count slides out of its window, and is nothing after two', () => {
  const counts = new SlidingCounts(10);
  for (let i = 0; i < 4; i++) counts.add('a', PER, 30_000);
  const at = (time: number): number => counted(counts.sums('a', PER, time), PER, time);
  assert.deepEqual(
    [30_000, 60_000, 75_000, 119_999.9, 120_000, 500_000].map((t) => Math.round(at(t) * 10) / 10),
    [4, 4, 3, 0, 0, 0],
  );
  assert.equal(counted(counts.sums('b', PER, 0), PER, 0), 0);
});

test('another length of window starts from zero', () => {
  const counts = new SlidingCounts(10);
  counts.add('a', PER, 0);
  assert.deepEqual(counts.sums('a', 1000, 0), { now: 0, before: 0, reset: 0 });
});

for (const [what, sums, most, time, expected] of [
  ['room in this window', { now: 3, before: 0 }, 5, 0, 0],
  ['full: the first slides out in the next window', { now: 5, before: 0 }, 5, 0, PER + PER / 5],
  ['full, late in the window', { now: 5, before: 0 }, 5, 45_000, PER / 4 + PER / 5],
  ['the window before is in the way, and slides out', { now: 2, before: 4 }, 5, 15_000, PER / 4],
  ['the window before has slid out', { now: 2, before: 4 }, 5, 30_000, 0],
  ['one at most', { now: 1, before: 0 }, 1, 0, 2 * PER],
] as const) {
  test(`wait: ${what}`, () => assert.ok(Math.abs(waitFor(sums, most, PER, time) - expected) < 1e-6));
}

test('a sender that waits as long as it is told may send then; and no sender gets much more than the limit in any period', () => {
  const random = seededRandom(3);
  for (let run = 0; run < 200; run++) {
    const most = 1 + Math.floor(random() * 20);
    const counts = new SlidingCounts(10);
    const sent: number[] = [];
    for (let time = random() * PER; sent.length < most * 5; ) {
      const wait = waitFor(counts.sums('a', PER, time), most, PER, time);
      if (wait > 0) {
        time += wait + 1e-3;
        assert.ok(waitFor(counts.sums('a', PER, time), most, PER, time) < 1e-3, `most ${most} at ${time}`);
      }
      counts.add('a', PER, time);
      sent.push(time);
      time += random() < 0.7 ? 0 : random() * 5000;
    }
    for (const [i, time] of sent.entries()) {
      const within = sent.filter((at, j) => j >= i && at - time < PER).length;
      // Where a window's worth came all at its end, the slide takes it for evenly spread.
      assert.ok(within <= 2 * most, `${within} of ${most} in a window`);
    }
  }
});

test('memory is bounded: the key that was untouched for longest is forgotten', () => {
  const counts = new SlidingCounts(100);
  for (let i = 0; i < 100; i++) counts.add(`k${i}`, PER, 0);
  counts.add('k0', PER, 0);
  for (let i = 0; i < 50; i++) counts.add(`new${i}`, PER, 0);
  assert.equal(counts.size, 100);
  assert.equal(counts.sums('k0', PER, 0).now, 2);
  assert.equal(counts.sums('k1', PER, 0).now, 0);
});
