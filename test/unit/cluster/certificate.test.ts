// @peculiar/x509 refuses to load without a reflect polyfill.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { createRequest, renewalId } from '#cluster/certificate.ts';
import { needs } from '#test/kit/runner/peers.ts';

/** Which key a certificate is requested for, and what an authority knows one by. */

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

test('what an authority knows a certificate by has its issuer and its serial number (RFC 9773 §4.1)', {
  ...needs('openssl'),
}, async () => {
  const made = async (serial: string, extension: string): Promise<string | undefined> => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'];
    const names = ['-subj', '/CN=x', '-addext', 'subjectKeyIdentifier=69885B6B87464041E1B37B847BA0AE2CDE01C8D4'];
    const args = ['req', '-x509', ...key, ...names, '-addext', extension, '-set_serial', serial];
    const { stdout } = await promisify(execFile)('openssl', args);
    return renewalId(new X509Certificate(stdout).raw);
  };
  const named = 'authorityKeyIdentifier=keyid:always';
  // The example of the RFC: a serial number whose first bit is set has a zero in front.
  assert.equal(await made('0x87654321', named), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE');
  assert.equal(await made('0x07654321', named), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2VDIQ');
  assert.equal(await made('1', 'authorityKeyIdentifier=none'), undefined);
});
