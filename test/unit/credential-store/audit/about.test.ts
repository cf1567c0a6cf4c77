import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import type { TlsDnsRecord } from '#shared/tls/dns-record.ts';

/** What the audit log says of changes that are more than a name. */

const { operations } = credentialStoreContract;

test('a record about our TLS is named by what it is of, where it is written', () => {
  const { audited } = operations['tls-record-publish'];
  const digest = 'a'.repeat(64);
  const tlsa: TlsDnsRecord = { kind: 'tlsa', host: 'mx.example.com', used: [digest], next: [], complete: true };
  const sts: TlsDnsRecord = { kind: 'mta-sts', domain: 'example.com', id: '1' };
  assert.equal(audited({ record: tlsa, write: true }), 'tlsa of mx.example.com');
  assert.equal(audited({ record: sts, write: true }), 'mta-sts of example.com');
  assert.equal(audited({ record: sts, write: false }), undefined);
});

test('entries that are imported are named', () => {
  const { audited } = operations['entry-import'];
  const text = audited({
    entries: [
      { kind: 'user', name: 'alice', addresses: [], onBehalfOf: [] },
      { kind: 'alias', address: 'info@example.com', targets: ['alice'] },
    ],
  });
  assert.equal(text, '2 entries: user alice, alias info@example.com');
});
