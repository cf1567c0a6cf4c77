import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { planFiles } from '#services/console/cli/backup/place-files.ts';
import { tempDir } from '#test/kit/temp.ts';

test('what is no file where a file of the backup belongs is there otherwise, and is not read', {
  timeout: 10_000,
}, async () => {
  await using dir = await tempDir('place');
  const pipe = join(dir.path, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const part = { mode: 0o600, uid: 0, gid: 0, size: 0, sha256: '0'.repeat(64) };
  const files = [pipe, '/dev/zero'].map((path) => ({ ...part, path }));
  assert.deepEqual(await planFiles(files, (path) => path), { missing: [], same: [], differing: files });
});
