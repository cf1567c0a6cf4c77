import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patiently } from '#services/console/cli/backup/patience.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';

/** Fails with these codes, one after the other, and then answers how often it was asked. */
function failing(...codes: ErrorCode[]): () => Promise<number> {
  let asked = 0;
  return async () => {
    const code = codes[asked++];
    if (code !== undefined) throw new SealpostError(code, 'not now');
    return asked;
  };
}

test('a process that starts or is busy is asked again', async () => {
  assert.equal(await patiently(failing('unavailable', 'timeout', 'busy'), 1), 4);
});

test('what does not pass is not waited for, and neither is one that stays away', async () => {
  await assert.rejects(patiently(failing('unavailable', 'store-failed'), 1), { code: 'store-failed' });
  await assert.rejects(patiently(failing('unavailable', 'timeout'), 1, -1), { code: 'unavailable' });
});
