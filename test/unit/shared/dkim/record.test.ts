import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dkimRecordName, dkimRecordValue } from '#shared/dkim/record.ts';
import { zoneLine } from '#shared/dns/txt.ts';

test('the record of an Ed25519 key (RFC 8463 appendix A.2)', () => {
  const key = {
    domain: 'football.example.com',
    selector: 'brisbane',
    algorithm: 'ed25519' as const,
    publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
  };
  assert.equal(dkimRecordName(key), 'brisbane._domainkey.football.example.com');
  assert.equal(dkimRecordValue(key), 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=');
  assert.equal(
    zoneLine({ name: dkimRecordName(key), ttl: 3600, value: dkimRecordValue(key) }),
    'brisbane._domainkey.football.example.com. 3600 IN TXT ( "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" )',
  );
});

test('every RSA size is k=rsa', () => {
  for (const algorithm of ['rsa-1024', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const) {
    assert.equal(dkimRecordValue({ algorithm, publicKey: 'AA==' }), 'v=DKIM1; k=rsa; p=AA==');
  }
});
