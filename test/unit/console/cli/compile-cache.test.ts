import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { SEALPOST } from '#test/kit/command.ts';
import { tempDir } from '#test/kit/temp.ts';

/** The beginning of the command in a small installation of its own; resolves to what it prints. */
async function runIn(folder: string, environment: Record<string, string> = {}): Promise<string> {
  const cli = join(folder, 'services/console/cli');
  await mkdir(join(cli, 'start'), { recursive: true });
  await cp(SEALPOST, join(cli, 'sealpost.js'));
  await cp(join(dirname(SEALPOST), 'start/parent.ts'), join(cli, 'start/parent.ts'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  await writeFile(join(cli, 'main.ts'), 'const said: string = "it runs"; console.log(said);');
  await symlink(join(cli, 'sealpost.js'), join(folder, 'sealpost'));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, 'sealpost'), 'x'], {
    // What the runner sets for other tests is not wanted here.
    env: { PATH: process.env['PATH'] ?? '', ...environment },
  });
  return stdout + stderr;
}

test('what Node compiled is kept inside the installation', async () => {
  await using installation = await tempDir('compile-cache');
  assert.equal(await runIn(installation.path), 'it runs\n');
  const [kept = ''] = await readdir(join(installation.path, 'node_modules/.cache/sealpost'));
  assert.match(kept, /^v24\./);
});

test('a folder that cannot be made is no reason to fail', async () => {
  await using installation = await tempDir('compile-cache');
  await writeFile(join(installation.path, 'node_modules'), 'a file where the folder should be, which root cannot pass');
  assert.equal(await runIn(installation.path), 'it runs\n');
});

test('NODE_COMPILE_CACHE names another folder', async () => {
  await using installation = await tempDir('compile-cache');
  const own = join(installation.path, 'own');
  assert.equal(await runIn(installation.path, { NODE_COMPILE_CACHE: own }), 'it runs\n');
  assert.equal((await readdir(own)).length, 1);
  await assert.rejects(readdir(join(installation.path, 'node_modules')), { code: 'ENOENT' });
});
