import assert from 'node:assert/strict';
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'nats';
import { BUS_USERS } from '#services/console/cli/cluster/bus-permissions.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

const WRITE = ['--passwords', 'bus', '--out', 'users.conf'];

async function folder() {
  const temp = await tempDir('cli-cluster');
  const { path } = temp;
  return {
    path,
    run: (...args: string[]): Promise<CommandResult> => sealpost(['cluster', 'nats-config', ...args], { cwd: path }),
    read: (...names: string[]) => readFile(join(path, ...names), 'utf8'),
    mode: async (...names: string[]) => ((await stat(join(path, ...names))).mode & 0o777).toString(8),
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
}

test(
  'without passwords nats-server takes them, or their hashes, from its environment',
  needs('nats-server'),
  async () => {
    await using dir = await folder();
    const { code, stdout } = await dir.run();
    assert.equal(code, 0);
    const file = join(dir.path, 'users.conf');
    await writeFile(file, stdout);
    const variables = [...stdout.matchAll(/password: \$(\w+)/g)].map((match) => match[1] ?? '');
    assert.equal(new Set(variables).size, BUS_USERS.length);
    // bcrypt of "secret".
    const hash = '$2a$08$abcdefghijklmnopqrstuuKxCcvB7KZ7.BpDoK0bh6qM7Dl1/xiJa';
    const env = { ...Object.fromEntries(variables.map((name) => [name, 'plain'])), SEALPOST_BUS_SIGNER: hash };
    const port = await freePort();
    await using server = new Program('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-c', file], { env });
    await server.waitForOutput(/Server is ready/);
    const login = async (user: string, pass: string): Promise<void> =>
      (await connect({ servers: `127.0.0.1:${port}`, user, pass, reconnect: false })).close();
    await login('signer', 'secret');
    await login('credential-store', 'plain');
    await assert.rejects(login('signer', 'plain'), /Authorization Violation/i);
  },
);

test('passwords go to files that their owner alone can read, never to the terminal, and stay as they are', async () => {
  await using dir = await folder();
  const made = await dir.run(...WRITE);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual((await readdir(join(dir.path, 'bus'))).toSorted(), BUS_USERS.toSorted());
  const passwords = await Promise.all(BUS_USERS.map(async (user) => (await dir.read('bus', user)).trim()));
  assert.equal(new Set(passwords).size, BUS_USERS.length);
  const config = await dir.read('users.conf');
  for (const password of passwords) {
    assert.match(password, /^[A-Za-z0-9_-]{43}$/);
    assert.ok(config.includes(`password: "${password}"`));
    assert.ok(!(made.stdout + made.stderr).includes(password));
  }
  assert.deepEqual(
    [await dir.mode('bus'), await dir.mode('bus', 'signer'), await dir.mode('users.conf')],
    ['700', '600', '600'],
  );

  // Made anew after an upgrade: as it was, readable for whom the administrator chose.
  await writeFile(join(dir.path, 'bus', 'router'), 'my own "\\ password'.replaceAll(' ', '-'));
  await writeFile(join(dir.path, 'users.conf'), `${config}# an older one was longer\n`);
  await chmod(join(dir.path, 'users.conf'), 0o644);
  const again = await dir.run(...WRITE, '--json');
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /users\.conf can be read by every user of this machine/);
  const own = passwords[BUS_USERS.indexOf('router')] ?? '';
  assert.equal(await dir.read('users.conf'), config.replace(own, String.raw`my-own-\"\\-password`));
  const { users, ...rest } = JSON.parse(again.stdout) as { users: { user: string; publish: string[] }[] };
  assert.deepEqual(rest, { file: 'users.conf', passwords: 'bus' });
  assert.deepEqual(users.find(({ user }) => user === 'policy')?.publish, [
    'sealpost.v1.credential-store.directory-list',
    'sealpost.v1.credential-store.directory-list.*',
    'sealpost.v1.credential-store.app-password-used',
    'sealpost.v1.credential-store.app-password-used.*',
    'sealpost.v1.credential-store.audit-append',
    'sealpost.v1.credential-store.audit-append.*',
    ...['present', 'counts', 'greylist'].map((event) => `sealpost.v1.policy.event.${event}`),
    'sealpost.v1.member.event.heartbeat',
    ...['listener.policy', 'console.policy', 'operator.policy', 'node.policy'].map((inbox) => `_INBOX_${inbox}.>`),
    ...['credential-store', 'console', 'operator', 'node'].map((caller) => `_INBOX_${caller}.member.>`),
  ]);
});

test('what makes no sense is refused, and nothing is replaced that was not made here', async () => {
  await using dir = await folder();
  const bare = await dir.run('--passwords', 'bus');
  assert.equal(bare.code, 2);
  assert.match(bare.stderr, /not printed.*--out/);
  await writeFile(join(dir.path, 'users.conf'), 'port: 4222\n');
  const foreign = await dir.run(...WRITE);
  assert.equal(foreign.code, 1);
  assert.match(foreign.stderr, /users\.conf was not made by this command/);
  assert.equal(await dir.read('users.conf'), 'port: 4222\n');
  await assert.rejects(readdir(join(dir.path, 'bus')));
  await rm(join(dir.path, 'users.conf'));
  assert.equal((await dir.run(...WRITE)).code, 0);
  for (const text of ['', 'two words', 'two\nlines', 'Grüße', '$2a$08$abcdefghijklmnopqrstuuKxCcvB7KZ7']) {
    await writeFile(join(dir.path, 'bus', 'policy'), text);
    const { code, stderr } = await dir.run(...WRITE);
    assert.equal(code, 1, text);
    assert.match(stderr, /bus\/policy holds no password/);
    assert.ok(text === '' || !stderr.includes(text));
  }
});
