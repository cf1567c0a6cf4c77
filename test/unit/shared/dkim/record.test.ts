import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dkimRecordName, dkimRecordValue, txtStrings, zoneLine } from '#shared/dkim/record.ts';

const SPLITS: [number, number[]][] = [
  [0, [0]],
  [1, [1]],
  [254, [254]],
  [255, [255]],
  [256, [255, 1]],
  [510, [255, 255]],
  [511, [255, 255, 1]],
];

for (const [length, sizes] of SPLITS) {
  test(`a TXT value of ${length} bytes is ${sizes.length} string(s)`, () => {
    const value = 'abcdefghij'.repeat(60).slice(0, length);
    const strings = txtStrings(value);
    assert.deepEqual(
      strings.map((s) => s.length),
      sizes,
    );
    assert.equal(strings.join(''), value);
  });
}

test('the record of an Ed25519 key (RFC 8463 appendix A.2)', () => {
  const key = {
    domain: 'football.example.com',
    selector: 'brisbane',
    algorithm: 'ed25519',
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
  for (const algorithm of ['rsa-1024', 'rsa-2048', 'rsa-3072', 'rsa-4096']) {
    assert.equal(dkimRecordValue({ algorithm, publicKey: 'AA==' }), 'v=DKIM1; k=rsa; p=AA==');
  }
});
