import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import {
  type CertificateList,
  judgeCertificates,
  proveCertificates,
  StoredCertificate,
  unwrapCertificateKey,
  wrapCertificateKey,
} from '#shared/tls/stored-certificate.ts';

const nek = parseNek(generateNek('tls'));
const other = parseNek(generateNek('other'));
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const identity = { name: 'mx', chain: '-----BEGIN CERTIFICATE-----\n…' };
const stored: StoredCertificate = { ...identity, wrapped: wrapCertificateKey(nek, identity, privateKey) };

const hasCode = (code: string) => (error: unknown) => error instanceof SealpostError && error.code === code;

test('a wrapped key opens with its NEK, its name and its chain', () => {
  const opened = unwrapCertificateKey([other, nek], stored);
  assert.ok(opened.equals(privateKey));
});

const CHANGED: [string, Partial<StoredCertificate>][] = [
  ['another chain', { chain: `${identity.chain}\n` }],
  ['another name', { name: 'mx2' }],
  ['other data', { wrapped: { ...stored.wrapped, data: Buffer.alloc(138).toString('base64') } }],
];

for (const [what, change] of CHANGED) {
  test(`a wrapped key does not open: ${what}`, () => {
    assert.throws(() => unwrapCertificateKey([nek], { ...stored, ...change }), hasCode('key-damaged'));
  });
}

test('without its NEK the error says which one is needed, and where', () => {
  assert.throws(() => unwrapCertificateKey([other], stored), {
    code: 'nek-mismatch',
    message: new RegExp(`wrapped with NEK tls \\(${nek.fingerprint}\\), and tls\\.nek has other \\(`),
  });
});

test('a stored certificate has a bounded name, chain and key', () => {
  assert.ok(StoredCertificate.safeParse(stored).success);
  for (const bad of [
    { name: '' },
    { name: 'MX' },
    { name: 'a!b' },
    { chain: 'x'.repeat(65_537) },
    { wrapped: { ...stored.wrapped, data: 'x'.repeat(16_385) } },
  ]) {
    assert.equal(StoredCertificate.safeParse({ ...stored, ...bad }).success, false, JSON.stringify(bad).slice(0, 60));
  }
});

test('a proof is for one answer to one question', () => {
  const list: CertificateList = { node: 'edge-1', revision: 3, certificates: [stored], changed: ['mx'], cursor: 'a:1' };
  const question = { nonce: 'n1' };
  const macs = proveCertificates([nek], question, list);
  assert.equal(judgeCertificates([nek], question, list, macs), 'authentic');
  assert.equal(judgeCertificates([other], question, list, macs), 'unknown');
  const others: [object, Partial<CertificateList>][] = [
    [{ nonce: 'n2' }, {}],
    [{ nonce: 'n1', since: 'a:1' }, {}],
    [{ nonce: 'n1', after: 'mx' }, {}],
    [question, { revision: 4 }],
    [question, { node: 'edge-2' }],
    [question, { certificates: [] }],
    [question, { changed: [] }],
    [question, { cursor: undefined }],
    [question, { behind: 'it is' }],
    [question, { certificates: [{ ...stored, chain: 'other' }] }],
  ];
  for (const [asked, change] of others) {
    const verdict = judgeCertificates([nek], { ...question, ...asked }, { ...list, ...change }, macs);
    assert.equal(verdict, 'forged', JSON.stringify([asked, change]).slice(0, 80));
  }
});
