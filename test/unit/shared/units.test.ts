import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRate, parseRate, perSecond } from '#shared/rate.ts';

for (const [text, count, per] of [
  ['50/s', 50, 1000],
  ['100/m', 100, 60_000],
  [' 1000 / h ', 1000, 3_600_000],
  ['1/d', 1, 86_400_000],
] as const) {
  test(`the rate ${text}`, () => {
    const rate = parseRate(text);
    assert.deepEqual(rate, { count, per });
    assert.equal(formatRate({ count, per }), text.replaceAll(' ', ''));
    assert.equal(perSecond({ count, per }), (count * 1000) / per);
  });
}

for (const text of ['', '50', '/s', '0/s', '-1/s', '1.5/s', '50/w', '50/s 3', '50 s', '9999999999/s', 's/50', '50/S']) {
  test(`no rate: "${text}"`, () => assert.equal(parseRate(text), undefined));
}
