import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
  perSecond,
} from '#shared/units.ts';

for (const [text, count, per] of [
  ['50/s', 50, 1000],
  ['100/m', 100, 60_000],
  [' 1000 / h ', 1000, 3_600_000],
  ['1/d', 1, 86_400_000],
  ['10/15m', 10, 900_000],
  ['10/90s', 10, 90_000],
] as const) {
  test(`the rate ${text}`, () => {
    const rate = parseRate(text);
    assert.deepEqual(rate, { count, per });
    assert.equal(formatRate({ count, per }), text.replaceAll(' ', ''));
    assert.equal(perSecond({ count, per }), (count * 1000) / per);
  });
}

for (const text of [
  '',
  '50',
  '/s',
  '0/s',
  '-1/s',
  '1.5/s',
  '50/w',
  '50/s 3',
  '50 s',
  '9999999999/s',
  's/50',
  '50/S',
  '50/0m',
  '50/-5m',
  '50/1.5m',
  '50/9999m',
]) {
  test(`no rate: "${text}"`, () => assert.equal(parseRate(text), undefined));
}

test('durations and sizes', () => {
  const table: [string, number | undefined][] = [
    ['0s', 0],
    ['90s', 90_000],
    ['1.5h', 5_400_000],
    ['5d', 432_000_000],
    ['5', undefined],
    ['', undefined],
    ['-1s', undefined],
    ['5 weeks', undefined],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
  assert.equal(parseSize('25MB'), 25 * 1024 * 1024);
  assert.equal(parseSize('25mb'), undefined);
  assert.equal(formatDuration(0), '0s');
  assert.equal(formatDuration(93_784_000), '1d 2h');
  assert.equal(formatSize(10_240), '10.0 KB');
  assert.equal(formatSize(5 * 1024 ** 3), '5.0 GB');
});
