import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { assertInTime, hostNames, usablePair } from '#cluster/certificates/pair.ts';
import { issue } from '#test/kit/tls/issue.ts';

const DAY_MS = 86_400_000;
const root = await issue('Root', { ca: true });
const own = await issue('mx.example.com', { by: root, names: ['MX.example.com', '*.example.org'] });
const other = await issue('mx.example.com', { by: root, names: ['mx.example.com'] });
const weak = await issue('mx.example.com', { names: ['mx.example.com'], rsa: 1024 });

const unusable = (message: RegExp) => ({ code: 'tls-material', message });

test('a chain and the key of its first certificate are usable', () => {
  const chain = usablePair('certificate mx', own.certificate + root.certificate, createPrivateKey(own.key));
  assert.equal(chain.length, 2);
  assertInTime('certificate mx', chain, Date.now());
});

const BAD: [string, string, string, RegExp][] = [
  ['the key of another certificate', own.certificate, other.key, /^certificate mx: the private key is not that of/],
  ['the chain in another order', root.certificate + own.certificate, own.key, /not that of the first certificate/],
  ['no certificate', 'hello', own.key, /^certificate mx holds no PEM certificate/],
  ['a damaged certificate', own.certificate.replace(/MII.{20}/, 'MII'), own.key, /holds a certificate that is damaged/],
  ['a key that is too short', weak.certificate, weak.key, /^certificate mx cannot be used: its key is too short/],
];

for (const [what, chain, key, message] of BAD) {
  test(`not usable: ${what}`, () => {
    assert.throws(() => usablePair('certificate mx', chain, createPrivateKey(key)), unusable(message));
  });
}

test('every certificate of the chain must be in time', () => {
  const chain = usablePair('certificate mx', own.certificate + root.certificate, createPrivateKey(own.key));
  const late = Date.now() + 100 * DAY_MS;
  assert.throws(
    () => assertInTime('certificate mx', chain, late),
    unusable(/^certificate mx expired on \d{4}-\d\d-\d\d: /),
  );
  const early = Date.now() - 2 * DAY_MS;
  assert.throws(() => assertInTime('certificate mx', chain, early), unusable(/^certificate mx is not valid before /));
});

test('an authority in the chain that has no subject is taken as it is', async () => {
  const nameless = await issue('', { ca: true, names: ['authority.example.com'] });
  const chain = usablePair('certificate mx', own.certificate + nameless.certificate, createPrivateKey(own.key));
  assertInTime('certificate mx', chain, Date.now());
});

test('an authority in the chain that has expired is named', async () => {
  const old = await issue('Old', { ca: true, until: Date.now() - 1000 });
  const below = await issue('mx.example.com', { by: old, names: ['mx.example.com'] });
  const chain = usablePair('certificate mx', below.certificate + old.certificate, createPrivateKey(below.key));
  assert.throws(
    () => assertInTime('certificate mx', chain, Date.now()),
    unusable(/the certificate of CN=Old in its chain expired/),
  );
});

test('names of hosts are in lower case, without addresses and common names', () => {
  assert.deepEqual(hostNames(new X509Certificate(own.certificate)), ['mx.example.com', '*.example.org']);
  assert.deepEqual(hostNames(new X509Certificate(root.certificate)), []);
});
