import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Entry, encodeBlock, hashOf, idsInBlock } from '#services/router/receipts/index-block.ts';
import { newQueueId } from '#shared/ids.ts';
import { seededRandom } from '#test/kit/random.ts';

test('a block finds the ids that have one of the terms of each list', () => {
  const random = seededRandom(1);
  const some = (most: number): number[] => Array.from({ length: 1 + random() * most }, () => Math.floor(random() * 60));
  // The least and the greatest hash are among them.
  const hashes = Array.from({ length: 60 }, (_, n) => (n === 0 ? 0 : n === 1 ? 0xff_ff_ff : hashOf(`term ${n}`)));
  const named = (numbers: readonly number[]): number[] => numbers.map((n) => hashes[n] ?? 0);
  for (const size of [1, 2, 3000]) {
    const entries: Entry[] = Array.from({ length: size }, () => ({ id: newQueueId(), terms: named(some(8)) }));
    const bytes = encodeBlock(entries);
    for (let n = 0; n < 50; n++) {
      const wanted = Array.from({ length: 1 + random() * 3 }, () => named(some(3)));
      const expected = entries.filter(({ terms }) => wanted.every((list) => list.some((hash) => terms.includes(hash))));
      assert.deepEqual(idsInBlock(bytes, wanted).toSorted(), expected.map(({ id }) => id).toSorted());
    }
  }
});

test('a hash is the same in every version, and fits', () => {
  assert.deepEqual(
    ['', 'a', 'tbob@peer.example', 'tb\u{fc}cher'].map(hashOf),
    [1_875_268, 797_128, 3_725_437, 8_708_805],
  );
});
