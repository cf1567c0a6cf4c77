import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealpost } from '#test/kit/command.ts';
import { copyFolder } from '#test/kit/haraka/plan.ts';
import { tempDir } from '#test/kit/temp.ts';

/** `sealpost import haraka` of a folder config as people have it. That the result works is in guides.test. */

type Result = { account: { place: string; setting: string; verdict: string }[]; written: string[]; problems: string[] };

test('a folder config: every line of every file has its line, and the result passes config check', async () => {
  await using temp = await tempDir('haraka');
  const config = join(temp.path, 'haraka', 'config');
  await copyFolder(config);
  await writeFile(join(config, 'dkim/example.com/private'), 'the key comes by keys import', { mode: 0o600 });
  const made = await sealpost(['import', 'haraka', 'haraka', '--json'], { cwd: temp.path });
  assert.equal(made.code, 0, made.stderr + made.stdout);
  const { account, written, problems } = JSON.parse(made.stdout) as Result;
  assert.deepEqual(problems, []);
  for (const { name } of (await readdir(config, { withFileTypes: true })).filter((entry) => entry.isFile())) {
    const lines = (await readFile(join(config, name), 'utf8')).split('\n');
    const isTable = name !== 'aliases' && !name.endsWith('.pem');
    for (const [i, line] of lines.entries()) {
      if (!isTable || /^\s*(?:[;#[].*)?$/.test(line)) continue;
      // A file of a plugin that does not run has one line for all.
      const places = [`${name}:${i + 1}`, name];
      assert.ok(
        account.some(({ place }) => places.includes(place)),
        `${name}:${i + 1} ${line} has no line`,
      );
    }
  }
  assert.doesNotMatch(made.stdout, /wonder land|p4per|s3cret/);
  assert.deepEqual(written.toSorted(), ['sealpost.yaml', 'secrets/10.20.1.3', 'secrets/nek.key', 'users.yaml']);
  for (const file of written) assert.equal((await stat(join(temp.path, file))).mode & 0o077, 0, file);
  const check = await sealpost(['config', 'check'], { cwd: temp.path });
  assert.equal(check.code, 0, check.stdout);
});

test('a folder that is none of Haraka is refused; an open relay is asked about', async () => {
  await using temp = await tempDir('haraka');
  const none = await sealpost(['import', 'haraka', '.'], { cwd: temp.path });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /\. has no file "plugins": name the folder config of a Haraka/);
  await writeFile(join(temp.path, 'plugins'), 'relay\n');
  await writeFile(join(temp.path, 'relay.ini'), '[relay]\nall=true\n');
  const asked = await sealpost(['import', 'haraka', '.'], { cwd: temp.path });
  assert.equal(asked.code, 2);
  assert.match(asked.stderr, /relay\.ini has all=true[\s\S]*OPEN RELAY/);
  const without = await sealpost(['import', 'haraka', '.', '--without-open-relay', '--dry-run'], { cwd: temp.path });
  assert.deepEqual([without.code, /OPEN RELAY|hosts:/.test(without.stdout)], [1, false]);
});
