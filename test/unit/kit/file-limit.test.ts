import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const LIMIT = fileURLToPath(import.meta.resolve('#test/kit/runner/file-limit.ts'));

function run(code: string, env: Record<string, string>) {
  const args = [`--import=${LIMIT}`, '--input-type=module', '-e', code];
  return spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: 10_000 });
}

test('a file that does not end is ended, and said so', () => {
  const { status, stderr } = run('setInterval(() => {}, 1000)', {
    NODE_TEST_CONTEXT: 'child-v8',
    TEST_FILE_LIMIT_MS: '50',
  });
  assert.equal(status, 1);
  assert.match(stderr, /did not end within 0\.05 s: a test left something open/);
});

test('a file that ends is not kept waiting, and what runs no tests is left alone', () => {
  assert.equal(run('', { NODE_TEST_CONTEXT: 'child-v8', TEST_FILE_LIMIT_MS: '60000' }).status, 0);
  assert.equal(run('setTimeout(() => {}, 300)', { TEST_FILE_LIMIT_MS: '50' }).status, 0);
});
