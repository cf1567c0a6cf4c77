import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type PrivateKey, parsePrivateKey, readPrivateKey } from '#services/console/cli/import/private-key.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { tempDir } from '#test/kit/temp.ts';

const rsa = (modulusLength: number): KeyObject => generateKeyPairSync('rsa', { modulusLength }).privateKey;
const RSA = rsa(2048);
const ED25519 = generateKeyPairSync('ed25519').privateKey;
const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8'): string =>
  key.export({ type, format: 'pem' }) as string;
const der = (key: KeyObject, type: 'pkcs8' | 'pkcs1'): string => key.export({ type, format: 'der' }).toString('base64');
function publicPem(key: KeyObject): string {
  const bytes = publishedBytes(key).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN PUBLIC KEY-----\n${bytes}\n-----END PUBLIC KEY-----\n`;
}

const seed = Buffer.from(ED25519.export({ format: 'jwk' }).d ?? '', 'base64url');
const point = publishedBytes(ED25519);

for (const [what, text, key, algorithm] of [
  [
    'PEM with CRLF and words around it',
    `Bag attributes\r\n${pem(RSA).replaceAll('\n', '\r\n')}\r\nthe end`,
    RSA,
    'rsa-2048',
  ],
  ['PKCS#1 PEM', pem(RSA, 'pkcs1'), RSA, 'rsa-2048'],
  ['PKCS#8 PEM of Ed25519', pem(ED25519), ED25519, 'ed25519'],
  ['a key with its public key behind it', pem(RSA) + publicPem(RSA), RSA, 'rsa-2048'],
  ['base64 of PKCS#8', der(RSA, 'pkcs8'), RSA, 'rsa-2048'],
  ['base64 of PKCS#1 in lines', der(RSA, 'pkcs1').replace(/.{76}/g, '$&\n'), RSA, 'rsa-2048'],
  ['the 32 bytes of an Ed25519 key, as rspamadm writes them', `${seed.toString('base64')}\n`, ED25519, 'ed25519'],
  ['64 bytes with its public key', Buffer.concat([seed, point]).toString('base64'), ED25519, 'ed25519'],
] as [string, string, KeyObject, string][]) {
  test(`reads ${what}`, () => {
    const read: PrivateKey = parsePrivateKey(text, 'file key.pem');
    assert.ok(read.privateKey.equals(key));
    assert.equal(read.algorithm, algorithm);
    assert.equal(read.publicKey, publishedBytes(key).toString('base64'));
    assert.equal(read.fingerprint, publicKeyFingerprint(publishedBytes(key)));
  });
}

const utf16 = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le');
for (const [what, bytes, key] of [
  ['a byte order mark before PEM', Buffer.from(`\ufeff${pem(RSA)}`), RSA],
  ['PEM in UTF-16, as PowerShell writes it', utf16(pem(RSA).replaceAll('\n', '\r\n')), RSA],
  ['PEM in UTF-16 of the other byte order', utf16(pem(RSA)).swap16(), RSA],
  ['PEM in UTF-16 without a mark', utf16(pem(RSA)).subarray(2), RSA],
  ['base64 with a byte order mark', Buffer.from(`\ufeff${der(RSA, 'pkcs8')}\r\n`), RSA],
  ['PKCS#8 DER', RSA.export({ type: 'pkcs8', format: 'der' }), RSA],
  ['PKCS#1 DER', RSA.export({ type: 'pkcs1', format: 'der' }), RSA],
  ['DER of Ed25519', ED25519.export({ type: 'pkcs8', format: 'der' }), ED25519],
] as [string, Buffer, KeyObject][]) {
  test(`reads a file with ${what}`, async () => {
    await using folder = await tempDir('keys');
    const file = join(folder.path, 'key');
    await writeFile(file, bytes);
    assert.ok((await readPrivateKey(file)).privateKey.equals(key));
  });
}

test('base64 that looks like DER by chance is read as base64, and DER of something else is refused', async () => {
  await using folder = await tempDir('keys');
  const file = join(folder.path, 'key');
  // 88 characters, of which the second is V: 0x30 0x56 begins a SEQUENCE of 86 bytes.
  const chance = Buffer.from(`0V${'A'.repeat(84)}==`);
  await writeFile(file, chance);
  await assert.rejects(readPrivateKey(file), /two halves do not belong together/);
  await writeFile(file, RSA.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: 'x' }));
  await assert.rejects(readPrivateKey(file), /holds no private key: PEM or DER .* without a password/);
});

const encrypted = (type: 'pkcs8' | 'pkcs1'): string =>
  RSA.export({ type, format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string;
/** A key whose parts do not fit together: the modulus of one, everything private of another. */
function mixed(): string {
  const { n = '', e = '' } = RSA.export({ format: 'jwk' });
  const key = { ...rsa(2048).export({ format: 'jwk' }), n, e };
  return pem(createPrivateKey({ key, format: 'jwk' }));
}

for (const [what, text, words] of [
  ['PKCS#8 under a password', encrypted('pkcs8'), /is encrypted with a password: openssl pkey/],
  ['PKCS#1 under a password', encrypted('pkcs1'), /is encrypted with a password/],
  ['two keys', pem(RSA) + pem(ED25519), /holds 2 private keys/],
  ['a public key', publicPem(RSA), /holds a public key, not a private key/],
  ['the DNS record beside the key', 'mail._domainkey IN TXT ( "v=DKIM1; k=rsa; p=AAAA" )', /holds a DNS record/],
  ['a key that is cut off', pem(RSA).slice(0, 800), /is damaged: there is no key between its BEGIN and END/],
  ['a key whose parts are of two keys', mixed(), /is damaged: what it signs does not verify|cannot sign/],
  ['an Ed25519 key with another’s public half', Buffer.concat([seed, seed]).toString('base64'), /two halves/],
  ['an elliptic curve key', pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey), /is a key of type ec/],
  ['an RSA key of 1536 bits', pem(rsa(1536)), /is an RSA key of 1536 bits: Sealpost takes/],
  ['nothing', '', /holds no private key/],
  ['base64 with a hole', der(RSA, 'pkcs8').replace('A', '*'), /holds no private key/],
  ['a key of OpenSSH', '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n', /OpenSSH/],
] as [string, string, RegExp][]) {
  test(`refuses ${what}, and shows nothing of it`, () => {
    assert.throws(
      () => parsePrivateKey(text, 'file key.pem'),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'key-invalid');
        assert.match(error.message, words);
        assert.match(error.message, /^file key\.pem /);
        for (const part of text.split('\n').filter((line) => line.length > 40 && !line.includes(' '))) {
          assert.ok(!error.message.includes(part));
        }
        return true;
      },
    );
  });
}

test('a file that is not there, is a folder or is no file of a key', async () => {
  await using folder = await tempDir('keys');
  const large = join(folder.path, 'large');
  await writeFile(large, 'A'.repeat(100_000));
  await assert.rejects(readPrivateKey(join(folder.path, 'none')), /none does not exist/);
  await assert.rejects(readPrivateKey(folder.path), /is a folder/);
  await assert.rejects(readPrivateKey(large), /large is larger than 64 KB/);
  const good = join(folder.path, 'good');
  await writeFile(good, pem(RSA));
  assert.equal((await readPrivateKey(good)).algorithm, 'rsa-2048');
});
