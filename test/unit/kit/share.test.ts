import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeShares } from '#test/kit/runner/share.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Files of tests by their code; resolves to what running them in `count` processes said. */
async function run(files: Record<string, string>, count = 1) {
  await using folder = await tempDir('share');
  const names = Object.keys(files).map((name) => `${name}.test.mjs`);
  for (const [name, code] of Object.entries(files)) {
    const text = `import { beforeEach, mock, test } from 'node:test';\n${code}\n`;
    await writeFile(join(folder.path, `${name}.test.mjs`), text);
  }
  const shares = await writeShares(names, count, folder.path);
  const args = ['--test', '--test-reporter=spec', '--test-timeout=3000', ...shares];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder.path, env, encoding: 'utf8' });
  return { status, output: stdout };
}

const FINE = "test('fine', () => {});";

test('every file is run, by one of the processes, and its tests are named below it', async () => {
  const { status, output } = await run({ a: FINE, b: FINE, c: FINE }, 2);
  assert.equal(status, 0, output);
  assert.match(output, /tests 6\n/);
  for (const name of ['a', 'b', 'c']) assert.match(output, new RegExp(`▶ ${name}.test.mjs\n {2}✔ fine`));
});

test('a file that cannot be loaded, and one that hangs, fail, and those after them are run', async () => {
  const hangs = "test('hangs', () => new Promise((resolve) => setTimeout(resolve, 60_000)));";
  const { status, output } = await run({ broken: "throw new Error('no');", hangs, last: FINE });
  assert.equal(status, 1);
  assert.match(output, /✖ broken.test.mjs/);
  assert.match(output, /✖ hangs .*\n✖ hangs.test.mjs/);
  assert.match(output, /✔ last.test.mjs/);
  assert.match(output, /tests left something open: .*Timeout, last one more after hangs.test.mjs/);
});

test('an error after the end of its file fails the run', async () => {
  const late = "test('late', () => void setTimeout(() => { throw new Error('too late'); }));";
  const waits = "test('waits', () => new Promise((resolve) => setTimeout(resolve, 100)));";
  const { status, output } = await run({ late, waits });
  assert.equal(status, 1);
  assert.match(output, /Test "late" at late.test.mjs.*too late/);
});

test('a process that ends early fails, even with exit code 0, and what it did not run is named', async () => {
  const { status, output } = await run({ first: FINE, ends: "test('ends', () => process.exit(0));", last: FINE });
  assert.equal(status, 1);
  assert.match(output, /the process ended before the tests of ends.test.mjs, last.test.mjs/);
});

test('mocks and hooks of a file end with it', async () => {
  const mocks = "beforeEach(() => mock.method(Date, 'now', () => 7)); test('mocks', () => {});";
  const asks = "test('asks', () => { if (Date.now() === 7) throw new Error('mocked'); });";
  const { status, output } = await run({ mocks, asks });
  assert.equal(status, 0, output);
});
