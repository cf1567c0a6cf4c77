import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bytesText,
  durationText,
  listText,
  plural,
  rateText,
  relativeText,
  shareText,
} from '#services/console/page/kit/format.ts';

test('rates and shares never round to what would mislead', () => {
  assert.deepEqual([0, 0.01, 0.55, 9.94, 12.4, 1234.6].map(rateText), ['0', '0.1', '0.6', '9.9', '12', '1,235']);
  assert.deepEqual([undefined, 0, 0.5, 0.99999, 1].map(shareText), ['–', '0.0 %', '50.0 %', '99.9 %', '100 %']);
});

test('sizes and spans of time have one unit', () => {
  assert.deepEqual([0, 812, 1024, 4300, 12 * 1024 ** 2, 3 * 1024 ** 5].map(bytesText), [
    '0 B',
    '812 B',
    '1.0 KiB',
    '4.2 KiB',
    '12 MiB',
    '3072 TiB',
  ]);
  assert.deepEqual([-5, 340, 12_900, 59_999, 60_000, 7_200_000, 200_000_000].map(durationText), [
    '0 ms',
    '340 ms',
    '12 s',
    '59 s',
    '1 min',
    '2 h',
    '2 d',
  ]);
  assert.deepEqual(
    [0, 500, 12_000, -300_000].map((past) => relativeText(1e12 - past, 1e12)),
    ['now', 'now', '12 s ago', 'in 5 min'],
  );
});

test('numbers go with their noun, and names with an and', () => {
  assert.deepEqual([plural(1, 'node'), plural(2000, 'node'), plural(0, 'key')], ['1 node', '2,000 nodes', '0 keys']);
  assert.deepEqual([listText([]), listText(['a']), listText(['a', 'b', 'c'])], ['', 'a', 'a, b and c']);
});
