import assert from 'node:assert/strict';
import { chmod, chown, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { prepareFile, replaceFile } from '#shared/files/replace.ts';
import { tempDir } from '#test/kit/temp.ts';

test('the file that a link leads to is replaced, in its folder; mode and link stay', async () => {
  await using dir = await tempDir('replace');
  const [link, real] = [join(dir.path, 'link'), join(dir.path, 'elsewhere', 'real')];
  await mkdir(join(dir.path, 'elsewhere'));
  await writeFile(real, 'old');
  await chmod(real, 0o640);
  await symlink(real, link);
  await replaceFile(link, 'new');
  assert.ok((await lstat(link)).isSymbolicLink());
  assert.equal(await readFile(real, 'utf8'), 'new');
  assert.equal((await stat(real)).mode & 0o777, 0o640);
  assert.deepEqual(await readdir(dir.path, { recursive: true }), ['elsewhere', 'link', 'elsewhere/real']);
});

test('a new file is for its owner alone', async () => {
  await using dir = await tempDir('replace');
  const file = join(dir.path, 'file');
  await replaceFile(file, '');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(dir.path), ['file']);
});

test('what root writes stays with its owner, and what root makes is for the owner of the folder', async (t) => {
  if (process.getuid?.() !== 0) return t.diagnostic('only root can give files away');
  await using dir = await tempDir('replace');
  const [old, made] = [join(dir.path, 'old'), join(dir.path, 'made')];
  await writeFile(old, 'old');
  await chown(old, 1234, 2345);
  await chown(dir.path, 3456, 4567);
  await replaceFile(old, 'new');
  await replaceFile(made, 'new');
  const owners = await Promise.all([old, made].map((file) => stat(file).then(({ uid, gid }) => [uid, gid])));
  assert.deepEqual(owners, [
    [1234, 2345],
    [3456, 4567],
  ]);
});

test('where it cannot take its place, nothing is left beside it', async () => {
  await using dir = await tempDir('replace');
  const folder = join(dir.path, 'folder');
  await mkdir(folder);
  await assert.rejects(replaceFile(folder, 'text'), { code: 'EISDIR' });
  const failing = prepareFile(join(dir.path, 'file'), () => Promise.reject(new Error('no content')));
  await assert.rejects(failing, /no content/);
  assert.deepEqual(await readdir(dir.path), ['folder']);
  await assert.rejects(replaceFile(join(dir.path, 'none', 'file'), 'text'), { code: 'ENOENT' });
});

test('a version that is prepared is seen when it is placed', async () => {
  await using dir = await tempDir('replace');
  const file = join(dir.path, 'file');
  await writeFile(file, 'old');
  const place = await prepareFile(file, 'new');
  assert.equal(await readFile(file, 'utf8'), 'old');
  await place();
  assert.equal(await readFile(file, 'utf8'), 'new');
  assert.deepEqual(await readdir(dir.path), ['file']);
});

test('a fixed name beside it is a lock: a concurrent writer fails and leaves it, a later one reads what the first wrote', async () => {
  await using dir = await tempDir('replace');
  const file = join(dir.path, 'file');
  await writeFile(file, '1');
  const append = (text: string) =>
    prepareFile(file, async () => `${await readFile(file, 'utf8')}${text}`, `${file}.new`);
  const place = await append('2');
  await assert.rejects(append('3'), { code: 'EEXIST' });
  await place();
  await (await append('4'))();
  assert.equal(await readFile(file, 'utf8'), '124');
});
