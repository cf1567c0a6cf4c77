import assert from 'node:assert/strict';
import { test } from 'node:test';
import { txtStrings } from '#shared/dns/txt.ts';

const SPLITS: [number, number[]][] = [
  [0, [0]],
  [1, [1]],
  [254, [254]],
  [255, [255]],
  [256, [255, 1]],
  [510, [255, 255]],
  [511, [255, 255, 1]],
];

for (const [length, sizes] of SPLITS) {
  test(`a TXT value of ${length} bytes is ${sizes.length} string(s)`, () => {
    const value = 'abcdefghij'.repeat(60).slice(0, length);
    const strings = txtStrings(value);
    assert.deepEqual(
      strings.map((s) => s.length),
      sizes,
    );
    assert.equal(strings.join(''), value);
  });
}
