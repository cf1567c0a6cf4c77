import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leavesNothing, recordOf, removalText } from '#services/console/reports/keys/record.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { keyStatus } from '#test/kit/dkim/fake-credential-store.ts';

const CASES: [Partial<KeyStatus>, boolean, RegExp][] = [
  [{ state: 'active' }, false, /p=MIIB/],
  [{ state: 'retiring' }, false, /p=MIIB/],
  [{ state: 'retired' }, false, /p=$/],
  [{ state: 'revoked' }, false, /p=$/],
  [{ state: 'replicated', signed: false }, false, /p=MIIB/],
];
for (const [own, nothing, value] of CASES) {
  test(`the record of a key that is ${JSON.stringify(own)}`, () => {
    const key = keyStatus(own);
    assert.equal(leavesNothing(key), nothing);
    assert.match(recordOf(key).value, value);
  });
}

for (const state of ['retired', 'revoked'] as const) {
  test(`a ${state} key that never signed leaves nothing in DNS, and that is said`, () => {
    const key = keyStatus({ state, signed: false });
    assert.equal(leavesNothing(key), true);
    assert.match(removalText(key), /^remove the TXT record at s1\._domainkey\.example\.com/);
  });
}
