import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { HeldKey } from '#services/signer/keyring.ts';
import { signMessage } from '#services/signer/sign.ts';
import { HOSTILE_FROM } from '#test/kit/hostile-from.ts';
import { domainsOf, keyringOf, requestFor, testKey } from './signing.ts';

const KEY = testKey('enforce.test', 's1', 'ed25519');
const UNUSABLE: HeldKey = { domain: 'locked.test', selector: 's1', usable: false, reason: 'no NEK' };
/** A key that cannot sign: the operation itself fails. */
const BROKEN: HeldKey = {
  domain: 'broken.test',
  selector: 's1',
  usable: true,
  privateKey: createSecretKey(randomBytes(32)),
};
const HALF: HeldKey[] = [
  { ...UNUSABLE, domain: 'half.test' },
  { ...BROKEN, domain: 'half.test', selector: 's2' },
  testKey('half.test', 's3', 'ed25519'),
];

const ENTRIES = domainsOf(
  ...['enforce.test', 'locked.test', 'broken.test', 'nokey.test', 'half.test'].flatMap((name) => [
    { name, signing: { mode: 'enforce' } },
    { name: `best.${name}` },
  ]),
  { name: 'off.test', signing: { mode: 'off' } },
);
const KEYRING = keyringOf(KEY, UNUSABLE, BROKEN, ...HALF, testKey('unlisted.test', 'u1', 'ed25519'));

const from = (domain: string): string => `From: a@${domain}\r\n`;

/** header, reverse-path, outcome, domain of the outcome, reason. */
type Case = [header: string, reversePath: string, outcome: string, domain?: string, reason?: RegExp];

const CASES: Case[] = [
  // Signing is not configured.
  ['', '', 'not-configured'],
  ['', 'a@other.test', 'not-configured'],
  [from('other.test'), 'a@enforce.test', 'not-configured'],
  [from('off.test'), 'a@enforce.test', 'not-configured'],
  ['From: a@[192.0.2.1]\r\n', '', 'not-configured'],
  // There is no author: what the reverse-path's domain requires is not possible.
  ['', 'a@enforce.test', 'refuse', 'enforce.test', /no From/],
  ['', 'a@best.enforce.test', 'unsigned', 'best.enforce.test', /no From/],
  ['', 'a@unlisted.test', 'unsigned', 'unlisted.test', /no From/],
  ['From: \r\n', 'a@enforce.test', 'refuse', 'enforce.test', /has no address/],
  ['From: a@enforce.test a@x\r\n', 'a@enforce.test', 'refuse', 'enforce.test', /2 domains/],
  [`${from('enforce.test')}From: nobody\r\n`, 'a@enforce.test', 'refuse', 'enforce.test', /2 From fields/],
  ['From: a@@enforce.test\r\n', '', 'refuse', 'enforce.test', /where an address ends/],
  ['From: a@enforce.test, b@other.test\r\n', '', 'refuse', 'enforce.test', /2 domains/],
  ['From: a@other.test <b@enforce.test>\r\n', '', 'refuse', 'enforce.test', /2 domains/],
  ['From: a@best.enforce.test <b@other.test>\r\n', '', 'unsigned', 'best.enforce.test', /2 domains/],
  ['From: x, =?utf-8?b?YUBvdGhlci50ZXN0?= <b@enforce.test>\r\n', '', 'refuse', 'enforce.test', /2 domains/],
  ['From: a@other\u00ad!.test <b@enforce.test>\r\n', '', 'refuse', 'enforce.test', /where an address ends/],
  [`${from('other.test')}${from('enforce.test')}`, '', 'refuse', 'enforce.test', /2 From fields/],
  // The header can be read in two ways.
  [`${from('enforce.test')}no field\r\n`, '', 'refuse', 'enforce.test', /neither a field/],
  [`no field\r\n${from('enforce.test')}`, '', 'refuse', 'enforce.test', /neither a field/],
  [`${from('enforce.test')}Subject: a\nb\r\n`, '', 'refuse', 'enforce.test', /CR or LF/],
  [`${from('enforce.test')}Subject: a\rb\r\n`, '', 'refuse', 'enforce.test', /CR or LF/],
  [`${from('best.enforce.test')}no field\r\n`, '', 'unsigned', 'best.enforce.test', /neither a field/],
  [`${from('enforce.test')}${'List-Id: x\r\n'.repeat(200)}`, '', 'refuse', 'enforce.test', /201 fields/],
  [`${from('enforce.test')}${'X-Id: x\r\n'.repeat(500)}`, '', 'signed', 'enforce.test/s1'],
  // There is no key, or none that works.
  [from('nokey.test'), '', 'hold', 'nokey.test', /no active key for nokey\.test/],
  [from('best.nokey.test'), '', 'unsigned', 'best.nokey.test', /no active key/],
  [from('locked.test'), '', 'hold', 'locked.test', /no NEK/],
  [from('best.locked.test'), '', 'unsigned', 'best.locked.test', /no NEK/],
  [from('broken.test'), '', 'hold', 'broken.test', /signing failed: s1 of broken\.test/],
  [from('best.broken.test'), '', 'unsigned', 'best.broken.test', /signing failed/],
  // It is signed, if only by one of several keys.
  [from('half.test'), '', 'signed', 'half.test/s3'],
  [from('enforce.test'), '', 'signed', 'enforce.test/s1'],
  [from('ENFORCE.Test.'), '', 'signed', 'enforce.test/s1'],
  [from('Sub.ENFORCE.Test'), '', 'signed', 'enforce.test/s1'],
  [from('unlisted.test'), '', 'signed', 'unlisted.test/u1'],
  ['From: a@enforce.test, b@enforce.test\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: a@enforce.test <b@enforce.test>\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: Doe, Ann <a@enforce.test>\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: Ann [Help] <a@enforce.test>\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: Ann <a@enforce.test\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: =?utf-8?q?a@enforce.test?= <a@ENFORCE.test>\r\n', '', 'signed', 'enforce.test/s1'],
  ['From: list:;\r\n', 'a@enforce.test', 'signed', 'enforce.test/s1'],
  ['From: "a@other.test" <b@enforce.test>\r\n', '', 'signed', 'enforce.test/s1'],
];

for (const [header, reversePath, outcome, domain, reason] of CASES) {
  test(`${JSON.stringify(header).slice(0, 100)} from <${reversePath}>: ${outcome}`, async () => {
    const result = await signMessage(requestFor({ name: '', header, body: '' }, reversePath), ENTRIES, KEYRING);
    assert.equal(result.outcome, outcome, JSON.stringify(result));
    if (result.outcome === 'signed') {
      assert.deepEqual(
        result.keys.map((k) => `${k.domain}/${k.selector}`),
        [domain],
      );
    } else if (result.outcome !== 'not-configured') {
      assert.equal(result.domain, domain);
      assert.match(result.reason, reason ?? /^$/);
    }
  });
}

const BEFORE: Case[] = [
  ['', '', 'not-configured'],
  [from('off.test'), '', 'not-configured'],
  [from('x.off.test'), '', 'not-configured'],
  [from('enforce.test'), '', 'hold', 'enforce.test'],
  [from('best.enforce.test'), '', 'hold', 'best.enforce.test'],
  [from('other.test'), '', 'hold', 'other.test'],
  ['From: a@off.test, b@other.test\r\n', '', 'hold', 'other.test'],
  ['', 'a@other.test', 'hold', 'other.test'],
];

for (const [header, reversePath, outcome, domain] of BEFORE) {
  test(`before keys were ever loaded, ${JSON.stringify(header)} from <${reversePath}>: ${outcome}`, async () => {
    const keyring = { loaded: false, keysOf: () => [] };
    const result = await signMessage(requestFor({ name: '', header, body: '' }, reversePath), ENTRIES, keyring);
    assert.equal(result.outcome, outcome);
    if (result.outcome === 'hold') {
      assert.equal(result.domain, domain);
      assert.match(result.reason, /not loaded yet/);
    }
  });
}

test('an author domain in UTF-8 finds the key of its A-labels', async () => {
  const header = Buffer.from('From: a@Bücher.example\r\n').toString('latin1');
  const keyring = keyringOf(testKey('xn--bcher-kva.example', 's1', 'ed25519'));
  const result = await signMessage(requestFor({ name: '', header, body: '' }), [], keyring);
  assert.equal(result.outcome, 'signed');
  assert.match(result.outcome === 'signed' ? result.header : '', /d=xn--bcher-kva\.example;/);
});

test('a hostile From costs the signer no more than time linear in its length', async () => {
  for (const unit of HOSTILE_FROM) {
    const time = async (size: number): Promise<number> => {
      const header = `From: ${unit.replace('\n', '\r\n').repeat(size / unit.length)}\r\n`;
      // Of the processor, which a busy machine does not change; it is counted in steps of several ms.
      const began = process.cpuUsage();
      await signMessage(requestFor({ name: '', header, body: '' }, 'a@best.enforce.test'), ENTRIES, KEYRING);
      return process.cpuUsage(began).user / 1000;
    };
    await time(8000);
    const [short, long] = [await time(8000), await time(256_000)];
    assert.ok(long < 200 * short + 500, `${JSON.stringify(unit)}: ${short} ms, ${long} ms`);
  }
  // One address, of more labels than any domain has.
  const began = process.cpuUsage();
  const header = `From: a@${'b.'.repeat(120_000)}enforce.test\r\n`;
  const result = await signMessage(requestFor({ name: '', header, body: '' }, ''), ENTRIES, KEYRING);
  assert.notEqual(result.outcome, 'signed');
  assert.ok(process.cpuUsage(began).user < 500_000);
});
