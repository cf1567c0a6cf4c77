import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { MOST_SIGNATURES } from '#shared/mail/authenticity.ts';
import { MESSAGE, RSA_RECORD, recordOf, signed, txt, verify, ZONE, type Zone } from './fixtures.ts';

const KEY = 'TXT s1._domainkey.author.test';
const SIGNED = await signed(MESSAGE);

test('a signature that holds passes, with what it says of itself', async () => {
  const { dkim } = await verify(SIGNED);
  assert.equal(dkim.length, 1);
  const [{ result, domain, selector, algorithm, aligned, identity } = { result: 'none' }] = dkim;
  assert.deepEqual(
    { result, domain, selector, algorithm, aligned, identity },
    {
      result: 'pass',
      domain: 'author.test',
      selector: 's1',
      algorithm: 'rsa-sha256',
      aligned: true,
      identity: '@author.test',
    },
  );
});

/** A change of one byte, and what is left of the signature. */
const BROKEN: [what: string, change: (message: string) => string, result: string][] = [
  ['the body', (m) => m.replace('figures are', 'figures ore'), 'fail'],
  ['a signed field', (m) => m.replace('Subject: Figures', 'Subject: figures'), 'fail'],
  ['b=', (m) => m.replace(/(b=.{8})./, (_, b: string) => `${b}!`), 'fail'],
  ['bh=', (m) => m.replace(/(bh=.{8})./, (_, b: string) => `${b}!`), 'fail'],
  ['d=', (m) => m.replace('d=author.test', 'd=bother.test'), 'permerror'],
];
for (const [what, change, result] of BROKEN) {
  test(`one byte of ${what} changed: ${result}`, async () => {
    const changed = change(SIGNED);
    assert.notEqual(changed, SIGNED);
    const { dkim, dmarc } = await verify(changed, { reversePath: 'ann@elsewhere.test' });
    assert.equal(dkim[0]?.result, result, JSON.stringify(dkim));
    assert.equal(dmarc.result, 'fail');
  });
}

test('one byte of the key changed: no pass', async () => {
  const at = RSA_RECORD.length - 40;
  const other = `${RSA_RECORD.slice(0, at)}${RSA_RECORD.charAt(at) === 'A' ? 'B' : 'A'}${RSA_RECORD.slice(at + 1)}`;
  const { dkim } = await verify(SIGNED, { zone: { ...ZONE, [KEY]: txt(other) } });
  assert.notEqual(dkim[0]?.result, 'pass');
});

const small = generateKeyPairSync('rsa', { modulusLength: 768 }).publicKey;
const long = generateKeyPairSync('rsa', { modulusLength: 1024, publicExponent: 0x1_0001 }).publicKey;
const RECORDS: [what: string, record: unknown[] | string, result: string, reason: RegExp][] = [
  ['revoked', txt('v=DKIM1; p='), 'permerror', /invalid public key/],
  ['absent', 'ENOTFOUND', 'permerror', /no key/],
  ['a name without TXT', 'ENODATA', 'permerror', /no key/],
  ['that no server answers for', 'ESERVFAIL', 'temperror', /ESERVFAIL/],
  ['of 768 bits', txt(recordOf(small)), 'policy', /shorter than 1024/],
  ['another one', txt(recordOf(long)), 'fail', /bad signature/],
  ['rubbish', txt('\u0000\u0001\u0002;;;===;p=%%%'), 'permerror', /invalid public key/],
  ['a page of HTML', txt(`<html>${'x'.repeat(8000)}</html>`), 'permerror', /invalid public key/],
  ['8 KB with it', txt(`v=DKIM1; n=${'x'.repeat(8000)}; ${RSA_RECORD.slice(9)}`), 'pass', /^$/],
  ['64 KB', txt(`v=DKIM1; n=${'x'.repeat(64_000)}; ${RSA_RECORD.slice(9)}`), 'permerror', /invalid public key/],
  ['in 100 strings', [RSA_RECORD.match(/.{1,5}/g) ?? []], 'pass', /^$/],
  ['for another service', txt(RSA_RECORD.replace('k=rsa', 's=tlsrpt; k=rsa')), 'permerror', /not for email/],
  ['for another hash', txt(RSA_RECORD.replace('k=rsa', 'h=sha1; k=rsa')), 'permerror', /hash algorithm/],
  ['Ed25519', txt('v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='), 'permerror', /key algorithm/],
  ['of a domain that tests', txt(RSA_RECORD.replace('k=rsa', 't=y; k=rsa')), 'pass', /tests DKIM/],
];
for (const [what, record, result, reason] of RECORDS) {
  test(`the key is ${what}: ${result}`, async () => {
    const { dkim } = await verify(SIGNED, { zone: { ...ZONE, [KEY]: record } as Zone });
    assert.equal(dkim[0]?.result, result, JSON.stringify(dkim));
    assert.match(dkim[0]?.reason ?? '', reason);
  });
}

const now = Math.floor(Date.now() / 1000);
const WRITTEN: [what: string, change: (message: string) => string, result: string, reason: RegExp][] = [
  ['rsa-sha1', (m) => m.replace('a=rsa-sha256', 'a=rsa-sha1'), 'policy', /rsa-sha1/],
  ['an algorithm that nobody knows', (m) => m.replace('a=rsa-sha256', 'a=dsa-sha256'), 'neutral', /unknown algorithm/],
  ['no From among the signed fields', (m) => m.replace(': From;', ': Fromm;'), 'permerror', /From field not signed/],
  [
    'an end in the past',
    (m) => m.replace('v=1;', `v=1; x=${now - 5};`).replace(/ t=\d+;/, ''),
    'fail',
    /bad signature/,
  ],
  ['a beginning in two days', (m) => m.replace(/ t=\d+/, ` t=${now + 172_800}`), 'neutral', /in the future/],
  ['v=2', (m) => m.replace('v=1;', 'v=2;'), 'neutral', /incompatible version/],
  ['a domain twice', (m) => m.replace('d=author.test;', 'd=author.test; d=author.test;'), 'neutral', /syntax/],
  ['a parenthesis in its domain', (m) => m.replace('d=author.test', 'd=author.test(x'), 'neutral', /syntax/],
  ['no signature in it', (m) => m.replace(/b=[^;]*(?=\r\nFrom)/, 'b='), 'fail', /bad signature/],
  ['600 signed fields', (m) => m.replace(' h=', ` h=${'x:'.repeat(600)}`), 'policy', /more than 500 fields/],
  ['l= of more than there is', (m) => m.replace('v=1;', 'v=1; l=5000;'), 'neutral', /more than the body/],
  ['40 KB', (m) => m.replace('v=1;', `v=1; z=${'x'.repeat(40_000)};`), 'policy', /longer than/],
  ['300 spaces', (m) => m.replace('v=1;', `v=1; ${' '.repeat(300)}`), 'policy', /white space/],
];
for (const [what, change, result, reason] of WRITTEN) {
  test(`a signature with ${what}: ${result}`, async () => {
    const changed = change(SIGNED);
    assert.notEqual(changed, SIGNED);
    const { dkim } = await verify(changed);
    assert.equal(dkim[0]?.result, result, JSON.stringify(dkim));
    assert.match(dkim[0]?.reason ?? '', reason);
  });
}

test('a signature that has ended is not a pass', async () => {
  const day = 86_400_000;
  const message = await signed(MESSAGE, { expires: new Date(Date.now() + day) });
  assert.equal((await verify(message)).dkim[0]?.result, 'pass');
  const { dkim } = await verify(message, { now: new Date(Date.now() + 3 * day) });
  assert.deepEqual([dkim[0]?.result, dkim[0]?.reason], ['neutral', 'expired']);
});

test('an identity of a subdomain is one, unless the key is for the domain alone', async () => {
  const message = await signed(MESSAGE, { identity: '@mail.author.test' });
  assert.match(message, /i=@mail\.author\.test/);
  assert.equal((await verify(message)).dkim[0]?.result, 'pass');
  const zone = { ...ZONE, [KEY]: txt(RSA_RECORD.replace('k=rsa', 't=s; k=rsa')) };
  const { dkim } = await verify(message, { zone });
  assert.deepEqual([dkim[0]?.result, dkim[0]?.reason], ['permerror', 'domain mismatch']);
  assert.equal((await verify(SIGNED, { zone })).dkim[0]?.result, 'pass');
});

test('a selector with an underscore is one', async () => {
  const message = await signed(MESSAGE, { selector: 'key_2026' });
  const { dkim } = await verify(message, { zone: { ...ZONE, 'TXT key_2026._domainkey.author.test': txt(RSA_RECORD) } });
  assert.deepEqual([dkim[0]?.result, dkim[0]?.selector], ['pass', 'key_2026']);
});

test('each of several signatures has its result, in the order of the fields', async () => {
  const twice = await signed(await signed(MESSAGE), { domain: 'list.test' });
  const { dkim } = await verify(twice);
  assert.deepEqual(
    dkim.map(({ domain, result, aligned }) => [domain, result, aligned]),
    [
      ['list.test', 'permerror', false],
      ['author.test', 'pass', true],
    ],
  );
});

test('what follows after l= bytes makes the signature say nothing about the author', async () => {
  const { length } = MESSAGE.split('\r\n\r\n')[1] ?? '';
  const message = await signed(MESSAGE, { length: length - 10, canonicalization: 'simple/simple' });
  assert.match(message, /l=\d+/);
  const elsewhere = { reversePath: 'ann@elsewhere.test' };
  const { dkim, dmarc } = await verify(`${message}Send the money here.\r\n`, elsewhere);
  assert.deepEqual([dkim[0]?.result, dkim[0]?.partial], ['pass', true]);
  assert.match(dkim[0]?.reason ?? '', /bytes of the body are not signed/);
  assert.equal(dmarc.result, 'fail');
  assert.equal(dmarc.dkimAligned, false);
});

test('without body hashes the answer is that nobody knows', async () => {
  const { dkim, dmarc } = await verify(SIGNED, { bodyHashes: undefined, reversePath: 'ann@elsewhere.test' });
  assert.equal(dkim[0]?.result, 'temperror');
  assert.equal(dmarc.result, 'temperror');
});

test('a key is asked for once, whatever the number of its signatures', async () => {
  const asked: string[] = [];
  await verify(await signed(SIGNED, { canonicalization: 'simple/simple' }), { asked });
  assert.equal(asked.filter((question) => question === KEY).length, 1);
});

test('of 300 signatures as many are looked at as are allowed, within 200 ms', async () => {
  const many = await Promise.all(Array.from({ length: 12 }, (_, i) => signed(MESSAGE, { selector: `s${i}` })));
  const fields = Array.from({ length: 25 }, () => many)
    .flat()
    .map((message) => message.slice(0, -MESSAGE.length));
  const asked: string[] = [];
  const began = process.cpuUsage();
  const { dkim } = await verify(`${fields.join('')}${MESSAGE}`, { asked });
  const { user, system } = process.cpuUsage(began);
  assert.equal(dkim.length, MOST_SIGNATURES + 1);
  assert.match(dkim.at(-1)?.reason ?? '', /290 more were not looked at/);
  assert.equal(dkim.at(-1)?.result, 'policy');
  assert.ok(asked.filter((question) => question.includes('_domainkey')).length <= MOST_SIGNATURES);
  assert.ok((user + system) / 1000 < 200, `${(user + system) / 1000} ms of processor time`);
});
