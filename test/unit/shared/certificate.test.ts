import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCertificate } from '#shared/certificate.ts';

/** An element of DER with a length in one byte. */
const element = (tag: number, ...content: Buffer[]): Buffer => {
  const all = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag, all.length]), all]);
};
const KEY = element(0x30, Buffer.from('key'));
/** A certificate with this as its issuer. */
const certificate = (issuer: Buffer): Buffer => {
  const empty = element(0x30);
  const serial = element(0x02, Buffer.from([1]));
  return element(0x30, element(0x30, serial, empty, issuer, empty, empty, KEY));
};

test('the key is the one that stands in the certificate', () => {
  assert.deepEqual(readCertificate(certificate(element(0x30))).key, KEY);
});

test('a length in another form than that of DER, which could hide the key, is refused', () => {
  const forms = {
    indefinite: [0x30, 0x80, 0x00, 0x00],
    'longer than it need be': [0x30, 0x81, 0x00],
    'with a zero in front': [0x30, 0x82, 0x00, 0x00],
    'of eight bytes': [0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 0],
  };
  for (const [form, bytes] of Object.entries(forms)) {
    assert.throws(() => readCertificate(certificate(Buffer.from(bytes))), /not as DER has it/, form);
  }
});
