import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Settings } from '#cluster/config/settings.ts';
import { Failures, logInOf } from '#services/policy/authentication/failures.ts';
import { KnownLogIns } from '#services/policy/authentication/known-log-ins.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { config } from '#test/unit/policy/fixtures.ts';

const ALICE = logInOf('alice', '203.0.113.5');

async function dataFolder(t: TestContext): Promise<string> {
  const dir = await tempDir('log-ins');
  t.after(() => dir[Symbol.asyncDispose]());
  return join(dir.path, 'data');
}

/** What a policy service does with log-ins, from its start on. */
async function started(data: string) {
  const settings = new Settings(config({ node: { data }, listeners: [] }));
  const counts = new SharedCounts({ settings, peers: undefined });
  const { log, lines } = logLines();
  const kept = new KnownLogIns({ settings, counts, log });
  await kept.start();
  return { failures: new Failures({ settings, counts }), lines, stop: () => kept.stop() };
}

/** Guesses from so many networks that the user is locked for strangers. */
function guess(failures: Failures): void {
  for (let i = 0; i < 100; i++) failures.failed(logInOf('alice', `10.0.${i}.1`));
}

test('a user is known after a restart, and guesses from elsewhere do not change that', async (t) => {
  const data = await dataFolder(t);
  const before = await started(data);
  before.failures.succeeded(ALICE);
  before.failures.failed(logInOf('bob', '203.0.113.5'));
  await before.stop();
  const file = join(data, 'log-ins.json');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.doesNotMatch(await readFile(file, 'utf8'), /bob/);
  const after = await started(data);
  guess(after.failures);
  assert.equal(after.failures.tooMany(ALICE), undefined);
  assert.deepEqual(after.failures.tooMany(logInOf('alice', '198.51.100.1')), { user: 'alice' });
  await after.stop();
});

test('a damaged copy is no reason not to start, is told, and is replaced', async (t) => {
  const data = await dataFolder(t);
  const first = await started(data);
  first.failures.succeeded(ALICE);
  await first.stop();
  const file = join(data, 'log-ins.json');
  for (const text of ['', '[{', '{}', '[{"key":"log-ins x"}]', '[1]']) {
    await writeFile(file, text);
    const policy = await started(data);
    assert.equal(policy.failures.known(ALICE), false, text);
    assert.match(JSON.stringify(policy.lines()), /log-ins of before the start cannot be read/, text);
    policy.failures.succeeded(ALICE);
    await policy.stop();
    const again = await started(data);
    assert.equal(again.failures.known(ALICE), true, text);
    assert.deepEqual(again.lines(), []);
    await again.stop();
  }
});

test('a copy that holds failures locks nobody', async (t) => {
  const data = await dataFolder(t);
  const first = await started(data);
  first.failures.succeeded(ALICE);
  await first.stop();
  const file = join(data, 'log-ins.json');
  const now = Date.now();
  const forged = { key: 'failures of * bob', per: 3_600_000, window: Math.floor(now / 3_600_000), now: 500, before: 0 };
  await writeFile(file, JSON.stringify([forged]));
  const second = await started(data);
  assert.equal(second.failures.tooMany(logInOf('bob', '198.51.100.1')), undefined);
  await second.stop();
});
