import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { addUser } from '#cluster/config/users/edit.ts';
import { ConfiguredFile } from '#services/policy/directory/configured-file.ts';
import { Secret } from '#shared/secret.ts';
import { SECRET } from '#test/unit/policy/fixtures.ts';

const of = (...names: string[]) =>
  `users:\n${names.map((name) => `  - { name: ${name}, password: "${SECRET}" }\n`).join('')}`;

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 8000; !condition(); await sleep(10)) {
    if (Date.now() > end) assert.fail(`never came: ${what}`);
  }
}

async function setup(t: TestContext, text = of('alice')) {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-directory-'));
  const file = join(folder, 'users.yaml');
  await writeFile(file, text);
  const logged: { msg: string; level: number; error?: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const directory = new ConfiguredFile(log);
  t.after(async () => {
    directory.close();
    await rm(folder, { recursive: true });
  });
  return { folder, file, logged, directory, has: (name: string) => directory.current?.account(name) !== undefined };
}

test('a change written in place, and one by renaming, are in force immediately', async (t) => {
  const { file, directory, has } = await setup(t);
  await directory.open(file);
  assert.ok(has('alice') && !has('bob'));
  await writeFile(file, of('alice', 'bob'));
  await until(() => has('bob'), 'bob');
  await addUser(file, { name: 'carol', password: new Secret('pw'), addresses: [] });
  await until(() => has('carol'), 'carol');
});

test('a bad version is refused and logged once, the last good one stays, the next good one counts', async (t) => {
  const { file, directory, logged, has } = await setup(t);
  await directory.open(file);
  await writeFile(file, 'users:\n  - name: mallory\n');
  await until(() => logged.some((l) => l.msg.includes('refused')), 'the refusal');
  assert.match(logged.at(-1)?.error ?? '', /users\.yaml:2: users\[0\]\.password: is required/);
  await rm(file);
  await until(() => logged.some((l) => l.error?.includes('cannot be read')), 'that it is gone');
  assert.ok(has('alice') && !has('mallory'));
  await writeFile(`${file}.new`, of('dora'));
  await rename(`${file}.new`, file);
  await until(() => has('dora'), 'dora');
  assert.ok(!has('alice'));
});

test('a folder replaced as a whole is noticed by the poll', async (t) => {
  const { folder, directory, has } = await setup(t);
  for (const [name, user] of [
    ['a', 'alice'],
    ['b', 'bob'],
  ] as const) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'u.yaml'), of(user));
  }
  await directory.open(join(folder, 'a', 'u.yaml'));
  await rename(join(folder, 'a'), join(folder, 'old'));
  await rename(join(folder, 'b'), join(folder, 'a'));
  await until(() => has('bob'), 'bob');
});

test('a configured file that is missing or wrong stops the start', async (t) => {
  const { file, directory } = await setup(t, 'users: 7');
  await assert.rejects(directory.open(`${file}.gone`), {
    code: 'unreadable',
    message: /users\.yaml\.gone cannot be read/,
  });
  await assert.rejects(directory.open(file), { code: 'invalid', message: /users\.yaml:1: users: expected a list/ });
});

test('another file takes over; a bad one defers everything until it is good; no file means no directory', async (t) => {
  const { file, directory, has } = await setup(t);
  assert.equal(directory.current, null);
  await directory.open(file);
  const other = `${file}.2`;
  await directory.change(other);
  assert.equal(directory.current, undefined);
  await writeFile(other, of('bob'));
  await until(() => has('bob'), 'bob');
  assert.ok(!has('alice'));
  await Promise.all([directory.change(other), directory.change(undefined), directory.change(file)]);
  assert.ok(has('alice'), 'the file named last wins');
  await directory.change(undefined);
  assert.equal(directory.current, null);
});
