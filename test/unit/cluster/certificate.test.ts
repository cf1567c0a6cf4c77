// @peculiar/x509 refuses to load without a reflect polyfill.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { createRequest } from '#cluster/certificate.ts';

/** Which key a certificate is requested for. */

const names = ['mx.example.com', '*.example.com'];
const publicDer = (key: KeyObject): string =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('hex');

const REUSED: [string, KeyObject][] = [
  ['EC P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
  ['EC P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
];
for (const [what, former] of REUSED) {
  test(`a request with a key that there is already, ${what}`, async () => {
    const { request, key } = await createRequest(names, former);
    const parsed = new Pkcs10CertificateRequest(request);
    assert.ok(await parsed.verify());
    assert.equal(Buffer.from(parsed.publicKey.rawData).toString('hex'), publicDer(former));
    assert.equal(publicDer(key), publicDer(former));
  });
}

test('a request with a new key: without one, and in the place of one that authorities do not take', async () => {
  for (const former of [undefined, generateKeyPairSync('ed25519').privateKey]) {
    const { request, key } = await createRequest(names, former);
    const parsed = new Pkcs10CertificateRequest(request);
    assert.ok(await parsed.verify());
    assert.equal(key.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.equal(Buffer.from(parsed.publicKey.rawData).toString('hex'), publicDer(key));
  }
});
