import assert from 'node:assert/strict';
import { stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '#shared/files/folder.ts';
import { tempDir } from '#test/kit/temp.ts';

test('a folder is made with those above it, for its owner alone; one that is there stays', async () => {
  await using dir = await tempDir('folder');
  const folder = join(dir.path, 'a', 'b', 'c');
  await makeFolder(folder);
  await writeFile(join(folder, 'file'), '');
  await makeFolder(folder);
  assert.ok((await stat(join(folder, 'file'))).isFile());
  for (const path of ['a', 'a/b', 'a/b/c']) assert.equal((await stat(join(dir.path, path))).mode & 0o777, 0o700);
});

test('a link to a folder is a folder; a file is none', async () => {
  await using dir = await tempDir('folder');
  await symlink(dir.path, join(dir.path, 'link'));
  await makeFolder(join(dir.path, 'link'));
  await writeFile(join(dir.path, 'file'), '');
  await assert.rejects(makeFolder(join(dir.path, 'file')), { code: 'EEXIST' });
  await assert.rejects(makeFolder(join(dir.path, 'file', 'below')), { code: 'ENOTDIR' });
});
