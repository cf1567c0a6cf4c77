import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { parseTlsa, usableRecords } from '#services/router/delivery/dane/records.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';

const { certificate } = await (await createAuthority()).issue();
const { raw, publicKey } = new X509Certificate(certificate);
const key = publicKey.export({ type: 'spki', format: 'der' });

type Given = [usage: number, selector: number, matching: number, data: Buffer | number];
/** A number stands for that many bytes. */
const record = ([usage, selector, matching, data]: Given) =>
  parseTlsa(
    Buffer.concat([Buffer.from([usage, selector, matching]), Buffer.isBuffer(data) ? data : Buffer.alloc(data)]),
  );

const USABLE: [name: string, given: Given, usable: boolean][] = [
  ['DANE-EE, SHA-256 of the key', [3, 1, 1, 32], true],
  ['DANE-TA, SHA-512 of the certificate', [2, 0, 2, 64], true],
  ['a whole certificate', [2, 0, 0, raw], true],
  ['a whole key', [3, 1, 0, key], true],
  ['PKIX-TA, which is not for SMTP', [0, 0, 1, 32], false],
  ['PKIX-EE, which is not for SMTP', [1, 1, 1, 32], false],
  ['a usage of its own', [255, 1, 1, 32], false],
  ['an unknown selector', [3, 2, 1, 32], false],
  ['an unknown matching type', [3, 1, 3, 48], false],
  ['a digest that is too short', [3, 1, 1, 31], false],
  ['a digest of another length', [3, 1, 2, 32], false],
  ['a digest in place of a certificate', [3, 0, 0, 32], false],
  ['a certificate in place of a key', [3, 1, 0, raw], false],
  ['no data', [3, 1, 1, 0], false],
];

for (const [name, given, usable] of USABLE) {
  test(`${name} ${usable ? 'counts' : 'does not count'}`, () => {
    assert.equal(usableRecords([record(given)]).length, usable ? 1 : 0);
  });
}

test('what is too short for a record does not count', () => {
  for (const bytes of [[], [3], [3, 1]]) assert.deepEqual(usableRecords([parseTlsa(Buffer.from(bytes))]), []);
});

test('a host with thousands of records costs no more than one with some', () => {
  assert.equal(usableRecords(Array(2000).fill(record([2, 1, 0, key]))).length, 32);
});

test('a weak digest beside a strong one of the same kind opens nothing, what stands there whole always counts', () => {
  const given: Given[] = [
    [3, 1, 1, 32],
    [3, 1, 2, 64],
    [3, 1, 0, key],
    [2, 1, 1, 32],
    [3, 0, 1, 32],
    // Too short to be usable: it does not put the good one beside it aside.
    [3, 0, 2, 32],
  ];
  const kept = usableRecords(given.map(record)).map(
    ({ usage, selector, matching }) => `${usage} ${selector} ${matching}`,
  );
  assert.deepEqual(kept, ['3 1 2', '3 1 0', '2 1 1', '3 0 1']);
});
