import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowed, targetsOf } from '#services/router/sent-reports/destinations.ts';

const DNS: Record<string, string[][] | string> = {
  '_dmarc.example.com': [['v=DMARC1; p=none']],
  'example.com._report._dmarc.reader.test': [['v=DMARC1']],
  'example.com._report._dmarc.elsewhere.test': [['v=DM', 'ARC1; rua=mailto:new@elsewhere.test']],
  'example.com._report._dmarc.thief.test': [['v=DMARC1; rua=mailto:x@victim.test']],
  'example.com._report._dmarc.rubbish.test': [['DMARC1'], ['rua=mailto:x@rubbish.test; v=DMARC1']],
  'example.com._report._dmarc.broken.test': 'ESERVFAIL',
};

async function resolve(name: string): Promise<string[][]> {
  const found = DNS[name] ?? 'ENOTFOUND';
  if (typeof found === 'string') throw Object.assign(new Error(name), { code: found });
  return found;
}

test('addresses of a rua, and how much they take', () => {
  const rows: [string, [string, number][]][] = [
    ['', []],
    ['mailto:a@b.test', [['a@b.test', Infinity]]],
    [
      'MAILTO:a@B.Test!10m , mailto:c@d.test!5K',
      [
        ['a@b.test', 10 * 2 ** 20],
        ['c@d.test', 5120],
      ],
    ],
    ['mailto:a%2Bdmarc@b.test', [['a+dmarc@b.test', Infinity]]],
    ['https://b.test/dmarc,a@b.test,mailto:', []],
    ['mailto:a@b.test%0d%0aBcc:%20x@y.test', []],
    ['mailto:%ff@b.test,mailto:a b@c.test', []],
    ['mailto:a@b.test,mailto:a@b.test', [['a@b.test', Infinity]]],
    [
      Array.from({ length: 50 }, (_, n) => `mailto:a${n}@b.test`).join(),
      Array.from({ length: 10 }, (_, n) => [`a${n}@b.test`, Infinity]),
    ],
  ];
  for (const [rua, expected] of rows) {
    assert.deepEqual(
      targetsOf(rua).map(({ address, most }) => [address, most]),
      expected,
      rua,
    );
  }
});

test('another organisation gets reports only where it says so in DNS, and where it says', async () => {
  const rows: [string, string[]][] = [
    ['a@example.com', ['a@example.com']],
    // The same organisation by the tree walk.
    ['a@reports.example.com', ['a@reports.example.com']],
    ['a@reader.test', ['a@reader.test']],
    ['a@elsewhere.test', ['new@elsewhere.test']],
    ['a@thief.test', []],
    ['a@rubbish.test', []],
    ['a@silent.test', []],
  ];
  for (const [address, expected] of rows) {
    const [target = assert.fail()] = targetsOf(`mailto:${address}`);
    assert.deepEqual(
      (await allowed('example.com', target, resolve)).map((found) => found.address),
      expected,
      address,
    );
  }
  const [broken = assert.fail()] = targetsOf('mailto:a@broken.test');
  await assert.rejects(allowed('example.com', broken, resolve), { code: 'ESERVFAIL' });
});
