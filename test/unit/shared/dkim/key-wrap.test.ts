import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { unwrapKey, type WrappedKey, wrapKey } from '#shared/dkim/key-wrap.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';

const nek = parseNek(generateNek('edge'));
const id = { domain: 'example.com', selector: 's1', algorithm: 'ed25519' };
const { privateKey } = generateKeyPairSync('ed25519');
const wrapped = wrapKey(nek, id, privateKey);

function flip(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64');
}

const hasCode = (code: string) => (error: unknown) => error instanceof SealpostError && error.code === code;

const DAMAGED: [string, Partial<WrappedKey>, Partial<typeof id>][] = [
  ['another domain', {}, { domain: 'example.org' }],
  ['a domain and selector that join to the same text', {}, { domain: 'example.com"', selector: 's1' }],
  ['another selector', {}, { selector: 's2' }],
  ['another algorithm', {}, { algorithm: 'rsa-2048' }],
  ['a changed byte', { data: flip(wrapped.data) }, {}],
  ['a changed IV', { iv: flip(wrapped.iv) }, {}],
  ['a changed tag', { tag: flip(wrapped.tag) }, {}],
  ['a tag cut to 32 bits', { tag: Buffer.from(wrapped.tag, 'base64').subarray(0, 4).toString('base64') }, {}],
  ['no tag', { tag: '' }, {}],
  ['no data', { data: '' }, {}],
  ['no IV', { iv: '' }, {}],
];

for (const [what, change, other] of DAMAGED) {
  test(`a wrapped key does not open: ${what}`, () => {
    assert.throws(() => unwrapKey(nek, { ...id, ...other }, { ...wrapped, ...change }), hasCode('key-damaged'));
  });
}

test('another NEK of the same name is named by fingerprint', () => {
  const other = parseNek(generateNek('edge'));
  assert.throws(
    () => unwrapKey(other, id, wrapped),
    (error) =>
      hasCode('nek-mismatch')(error) &&
      error instanceof Error &&
      error.message.includes(`edge (${nek.fingerprint})`) &&
      error.message.includes(`edge (${other.fingerprint})`),
  );
});

test('a wrapped key opens as the key that it was, and two wraps differ', () => {
  assert.equal(unwrapKey(nek, id, wrapped).equals(privateKey), true);
  const again = wrapKey(nek, id, privateKey);
  assert.notEqual(again.iv, wrapped.iv);
  assert.notEqual(again.data, wrapped.data);
});
