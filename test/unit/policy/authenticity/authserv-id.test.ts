import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimsToBeOurs } from '#services/policy/authenticity/authserv-id.ts';
import { splitHeader } from '#shared/mail/header.ts';
import { processorMs } from '#test/kit/processor-time.ts';

const isOurs = (domain: string): boolean => domain === 'mx1.local.test' || domain === 'xn--bcher-kva.test';

/** The value of the field, and whether some reader could take it for ours. */
const VALUES: [value: string, ours: boolean][] = [
  [' mx1.local.test; spf=pass', true],
  ['mx1.local.test;spf=pass', true],
  [' MX1.Local.TEST; spf=pass', true],
  [' mx1.local.test.; spf=pass', true],
  [' mx1.local.test 1; spf=pass', true],
  [' mx1.local.test (x) ; spf=pass', true],
  [' (hello (nested \\) one)) mx1.local.test; spf=pass', true],
  [' (a;b) mx1.local.test; spf=pass', true],
  ['\r\n\tmx1.local.test;\r\n\tspf=pass', true],
  ['\r\n (fold)\r\n mx1.local.test\r\n ; none', true],
  [' "mx1.local.test"; spf=pass', true],
  [' "mx1.\\local.test"; spf=pass', true],
  [' "mx1.local.test', true],
  [' mx1.local.test', true],
  [' mx1.local.test/1; spf=pass', true],
  [' =?us-ascii?q?mx1.local.test?=; spf=pass', true],
  [' (unclosed mx1.local.test; spf=pass', true],
  ['\u00c2\u00a0mx1.local.test; spf=pass', true],
  [' mx1 . local . test; spf=pass', true],
  [' ; mx1.local.test; spf=pass', true],
  [' mx1.lo(x)cal.test; spf=pass', true],
  [' mx1.local.test..; spf=pass', true],
  [' =?utf-8?q?mx1=2Elocal=2Etest?=; spf=pass', true],
  [' =?utf-8?b?bXgxLmxvY2FsLnRlc3Q=?=; spf=pass', true],
  [` (unclosed ${'x'.repeat(20_000)}; spf=pass`, true],
  [' mx.elsewhere.test; spf=pass smtp.mailfrom=mx1.local.test', false],
  [' mx.elsewhere.test (mx1.local.test); spf=pass', false],
  [' notmx1.local.test; spf=pass', false],
  [' local.test; spf=pass', false],
  [' mx1.local.test.elsewhere.test; spf=pass', false],
  ['', false],
];
for (const [value, ours] of VALUES) {
  test(`Authentication-Results:${JSON.stringify(value).slice(0, 80)} ${ours ? 'claims to be ours' : 'is of another'}`, () => {
    const [field] = splitHeader(`Authentication-Results:${value}\r\n`);
    assert.ok(field !== undefined);
    assert.equal(claimsToBeOurs(field, isOurs), ours);
  });
}

test('a quarter megabyte of it takes no time worth mentioning', () => {
  for (const unit of ['(', '(\\', '"', 'a.', ' ', '\\', ';', 'mx1.local.test'.slice(0, -1)]) {
    const field = { name: 'authentication-results', raw: `A: ${unit.repeat(256_000 / unit.length)}\r\n` };
    const took = processorMs(() => claimsToBeOurs(field, isOurs));
    assert.ok(took < 1000, `${unit}: ${took} ms`);
  }
});

/** As bytes: beyond ASCII it is UTF-8. */
const UNICODE: [value: string, ours: boolean][] = [
  [' bücher.test; spf=pass', true],
  [' mx.BÜCHER.test; spf=pass', false],
  [' mx1。local。test; spf=pass', true],
  [' ｍx1.local.test; spf=pass', true],
  [' mx1.lo\u00adcal.test; spf=pass', true],
  [' müller.test; spf=pass', false],
];
for (const [value, ours] of UNICODE) {
  test(`Authentication-Results:${value} ${ours ? 'claims to be ours' : 'is of another'}`, () => {
    const raw = Buffer.from(`Authentication-Results:${value}\r\n`).toString('latin1');
    assert.equal(claimsToBeOurs({ name: 'authentication-results', raw }, isOurs), ours);
  });
}

test('thousands of fields that cannot be read take no time worth mentioning', () => {
  const began = process.cpuUsage();
  const raw = Buffer.from('Authentication-Results: (x) =?utf-8?q?é?= é;\r\n').toString('latin1');
  for (let at = 0; at < 40_000; at++) claimsToBeOurs({ name: 'authentication-results', raw }, isOurs);
  assert.ok(process.cpuUsage(began).user < 3_000_000);
});
