import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OwnStsPolicy, stsPolicyId, stsPolicyText, stsRecordValue } from '#shared/mta-sts/own-policy.ts';

const POLICY: OwnStsPolicy = { mode: 'enforce', mx: ['mx1.example.com', '*.example.net'], maxAgeMs: 604_800_999 };

test('the policy file, a line for each mail exchanger, whole seconds', () => {
  assert.equal(
    stsPolicyText(POLICY),
    'version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n',
  );
});

test('the id changes with every part of the policy, and with nothing else', () => {
  const id = (policy: OwnStsPolicy): string => stsPolicyId(stsPolicyText(policy));
  const others: Partial<OwnStsPolicy>[] = [
    { mode: 'testing' },
    { mx: ['mx1.example.com'] },
    { mx: POLICY.mx.toReversed() },
    { maxAgeMs: 604_801_000 },
  ];
  const ids = [POLICY, ...others.map((other) => ({ ...POLICY, ...other }))].map(id);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(id({ ...POLICY, mx: [...POLICY.mx] }), id(POLICY));
  // RFC 8461 §3.1: 1*32(ALPHA / DIGIT)
  for (const one of ids) assert.match(one, /^[0-9a-z]{1,32}$/);
  assert.match(stsRecordValue(id(POLICY)), /^v=STSv1; id=[0-9a-f]{32};$/);
});
