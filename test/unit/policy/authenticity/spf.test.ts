import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGE, txt, verify, type Zone } from './fixtures.ts';

const many = (most: number, mechanism: (i: number) => string) => Array.from({ length: most }, (_, i) => mechanism(i));
const chain = (length: number): Zone =>
  Object.fromEntries(
    Array.from({ length }, (_, i) => [
      i === 0 ? 'TXT author.test' : `TXT i${i}.test`,
      txt(`v=spf1 include:i${i + 1}.test -all`),
    ]),
  );

/** The record of author.test, others with it, and what it says of 192.0.2.7. */
const RECORDS: [what: string, zone: Zone, result: string, reason?: RegExp][] = [
  ['permits the client', { 'TXT author.test': txt('v=spf1 ip4:192.0.2.7 -all') }, 'pass'],
  ['permits others only', { 'TXT author.test': txt('v=spf1 ip4:192.0.2.8 -all') }, 'fail'],
  ['is not sure', { 'TXT author.test': txt('v=spf1 ~all') }, 'softfail'],
  ['says nothing of it', { 'TXT author.test': txt('v=spf1 ?all') }, 'neutral'],
  ['is not there', {}, 'none'],
  ['is another kind of TXT', { 'TXT author.test': txt('google-site-verification=x') }, 'none'],
  ['is there twice', { 'TXT author.test': txt('v=spf1 -all', 'v=spf1 +all') }, 'permerror'],
  ['cannot be had', { 'TXT author.test': 'ESERVFAIL' }, 'temperror'],
  ['has a word that nobody knows', { 'TXT author.test': txt('v=spf1 ipv4:192.0.2.7 -all') }, 'permerror'],
  ['has macros without an end', { 'TXT author.test': txt('v=spf1 exists:%{ -all') }, 'permerror'],
  ['has an empty macro', { 'TXT author.test': txt('v=spf1 exists:%{}.x.test -all') }, 'permerror'],
  [
    'asks more than ten times',
    { 'TXT author.test': txt(`v=spf1 ${many(11, (i) => `a:h${i}.author.test`).join(' ')} -all`) },
    'permerror',
  ],
  ['includes what includes, twelve times', chain(12), 'permerror'],
  ['includes itself', { 'TXT author.test': txt('v=spf1 include:author.test -all') }, 'permerror'],
  [
    'names 40 mail servers',
    {
      'TXT author.test': txt('v=spf1 mx -all'),
      'MX author.test': many(40, (i) => `mx${i}.author.test`).map((exchange, priority) => ({
        exchange,
        priority,
      })) as unknown[],
      ...Object.fromEntries(many(40, (i) => `A mx${i}.author.test`).map((key) => [key, ['192.0.2.9']])),
    },
    'permerror',
  ],
  [
    'asks for three names that are not there',
    { 'TXT author.test': txt('v=spf1 a:x.test a:y.test a:z.test -all') },
    'permerror',
    /void/,
  ],
  ['is of 64 KB', { 'TXT author.test': txt(`v=spf1 ${'ip4:192.0.2.9 '.repeat(4500)}-all`) }, 'fail'],
  ['is in 100 strings', { 'TXT author.test': [['v=spf1 ', ...many(98, () => 'ip4:192.0.2.9 '), '-all']] }, 'fail'],
];
for (const [what, zone, result, reason] of RECORDS) {
  test(`an SPF record that ${what}: ${result}`, async () => {
    const { spf } = await verify(MESSAGE, { zone });
    assert.equal(spf.result, result, JSON.stringify(spf));
    assert.deepEqual([spf.scope, spf.domain], ['mfrom', 'author.test']);
    assert.equal(spf.reason !== undefined, ['permerror', 'temperror'].includes(result));
    if (reason !== undefined) assert.match(spf.reason ?? '', reason);
  });
}

test('with the null reverse-path the name in HELO is asked for', async () => {
  const zone = { 'TXT mail.author.test': txt('v=spf1 ip4:192.0.2.7 -all') };
  const { spf } = await verify(MESSAGE, { zone, reversePath: '' });
  assert.deepEqual([spf.result, spf.scope, spf.domain], ['pass', 'helo', 'mail.author.test']);
});

test('what came through a gateway has no address to believe', async () => {
  const asked: string[] = [];
  const { spf } = await verify(MESSAGE, { gateway: true, asked });
  assert.equal(spf.result, 'none');
  assert.match(spf.reason ?? '', /gateway/);
  assert.ok(!asked.includes('TXT author.test'));
});

test('a domain beyond ASCII is asked for as DNS has it', async () => {
  const zone = { 'TXT xn--bcher-kva.test': txt('v=spf1 ip4:192.0.2.7 -all') };
  const { spf } = await verify(MESSAGE, { zone, reversePath: 'ann@B\u00fccher.test' });
  assert.deepEqual([spf.result, spf.domain], ['pass', 'xn--bcher-kva.test']);
});

/** What nobody should have called itself or its sender. */
const ODD: [reversePath: string, helo: string, result: string][] = [
  ['', '[192.0.2.7]', 'none'],
  ['', 'localhost', 'none'],
  ['', '', 'none'],
  ['ann', 'x', 'none'],
  ['ann@[192.0.2.7]', 'x', 'none'],
  [`ann@${'a.'.repeat(200)}test`, 'x', 'none'],
  ['"a@b"@author.test', 'x', 'pass'],
];
for (const [reversePath, helo, result] of ODD) {
  test(`SPF of <${reversePath.slice(0, 40)}>, HELO ${JSON.stringify(helo)}: ${result}`, async () => {
    const { spf } = await verify(MESSAGE, { reversePath, client: { address: '192.0.2.7', helo } });
    assert.equal(spf.result, result, JSON.stringify(spf));
  });
}
