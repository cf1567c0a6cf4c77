import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { createProgram } from '#services/console/cli/program.ts';
import { onTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const COMMANDS = [
  'start',
  'status',
  'send',
  'config check',
  'config show',
  'config schema',
  'queue list',
  'queue find',
  'queue show',
  'queue cat',
  'queue retry',
  'queue hold',
  'queue release',
  'queue suspend',
  'queue resume',
  'queue redirect',
  'queue directives',
  'queue remove',
  'keys create',
  'keys list',
  'keys show',
  'keys verify',
  'keys export-dns',
  'keys export',
  'keys rotate',
  'keys watch',
  'keys freeze',
  'keys resume',
  'keys rollback',
  'keys schedule',
  'keys activate',
  'keys retire',
  'keys revoke',
  'keys delete',
  'keys nek',
  'keymgmt',
  'set config',
  'tls check',
  'tls publish',
  'tls memory',
  'tls forget',
  'users add',
  'users passwd',
  'users remove',
  'users list',
  'dmarc reports',
  'tls reports',
  'capture list',
  'capture show',
];

test('every command has --help with --json and --config', async () => {
  for (const command of COMMANDS) {
    const help = await helpOf(command.split(' '));
    assert.match(help, new RegExp(`Usage: sealpost ${command} `));
    assert.match(help, /--json/, command);
    assert.match(help, /--config <file>/, command);
  }
  const printed = await sealpost(['queue', 'list', '--help'], { cwd: '/' });
  assert.deepEqual([printed.code, printed.stdout], [0, await helpOf(['queue', 'list'])]);
});

/** The help of a command, without a process for it. */
async function helpOf(words: readonly string[]): Promise<string> {
  let command: Command | undefined = await createProgram(words[0], false);
  for (const word of words) command = command?.commands.find((one) => one.name() === word);
  return command?.helpInformation() ?? '';
}

for (const [args, code, words] of [
  [['nosuch'], 2, /unknown command/],
  [['queue', 'lst'], 2, /Did you mean list/],
  [['queue', 'retry'], 2, /say which mail/],
  [['queue', 'retry', 'X', '--all'], 2, /say which mail/],
  [['queue', 'list', '--limit', '0'], 2, /not a number above 0/],
  [['dmarc', 'reports', '--since', 'monday'], 2, /not a duration/],
  [['tls', 'reports', '--since', 'monday'], 2, /not a duration/],
  [['queue', 'list', '--state', 'lost'], 2, /Allowed choices are/],
  [['keys', 'create', 'a.example', 's', 'rsa-512'], 2, /Allowed choices are/],
  [['keys', 'nek', 'a b'], 2, /is not a name for a NEK/],
  [['start', 'webmail'], 2, /Allowed choices are/],
  [['users', 'add', 'x'], 2, /required option/],
  [['users', 'app-passwords', 'add', 'x', ''], 2, /"" is not a name/],
  [['send'], 2, /required option/],
  [['send', '--to', 'a@b\r\nDATA'], 2, /is not a mail address/],
  [['queue', 'list'], 3, /no node answers at .*data\/sandbox\/control\.sock/],
  [['config', 'check'], 1, /there is no \.\/sealpost\.yaml/],
  [['config', 'check', '--config', 'absent.yaml'], 1, /absent\.yaml does not exist/],
  [['start', '--config', 'absent.yaml'], 1, /absent\.yaml does not exist/],
] as const) {
  test(`sealpost ${JSON.stringify(args.join(' '))} ends with ${code}, without a stack`, async () => {
    await using folder = await tempDir('cli');
    const result = await sealpost(args, { cwd: folder.path });
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, words);
    assert.doesNotMatch(result.stderr, /\n +at /);
  });
}

test('config check lists all problems with their lines, as text and as JSON', async () => {
  await using folder = await tempDir('cli');
  await writeFile(
    join(folder.path, 'sealpost.yaml'),
    'listeners: []\nqueue:\n  expire: 5\nlimits: { errors: 0 }\nnode: { hostname: mx.test }\n',
  );
  const text = await sealpost(['config', 'check'], { cwd: folder.path });
  assert.equal(text.code, 1);
  assert.deepEqual(
    text.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(': ').slice(0, 2).join(': ')),
    ['sealpost.yaml:3: queue.expire', 'sealpost.yaml:4: limits.errors'],
  );
  const json = await sealpost(['config', 'check', '--json'], { cwd: folder.path });
  assert.equal(json.code, 1);
  const report = JSON.parse(json.stdout) as { ok: boolean; problems: { path: string; line: number }[] };
  assert.equal(report.ok, false);
  assert.deepEqual(
    report.problems.map((p) => [p.path, p.line]),
    [
      ['queue.expire', 3],
      ['limits.errors', 4],
    ],
  );
  const start = await sealpost(['start'], { cwd: folder.path });
  assert.equal(start.code, 1);
  assert.match(start.stderr, /sealpost\.yaml:3: queue\.expire.*\nsealpost\.yaml:4: limits\.errors/);
});

test('config check looks only at the files of the services that are named: a container has no others', async () => {
  await using folder = await tempDir('check');
  await writeFile(
    join(folder.path, 'sealpost.yaml'),
    'node: { data: ./data, hostname: mx.test }\ndirectory: { users: users.yaml }\ncredentials: { nek: nek.key }\n' +
      'tls: { certificate: c.pem, key: k.pem }\n',
  );
  const problems = async (...services: string[]): Promise<string[]> => {
    const { stdout } = await sealpost(['config', 'check', ...services, '--json'], { cwd: folder.path });
    return (JSON.parse(stdout) as { problems: { path: string }[] }).problems.map(({ path }) => path);
  };
  assert.deepEqual(await problems(), ['directory.users', 'credentials.nek', 'tls.certificate', 'tls.key']);
  assert.deepEqual(await problems('listener'), ['tls.certificate', 'tls.key']);
  assert.deepEqual(await problems('policy', 'signer'), ['directory.users', 'credentials.nek']);
  assert.deepEqual(await problems('operator'), []);
  assert.equal((await sealpost(['config', 'check', 'mailer'], { cwd: folder.path })).code, 2);
});

test('config check reads the users file too', async () => {
  await using folder = await tempDir('cli');
  await writeFile(join(folder.path, 'sealpost.yaml'), 'listeners: []\ndirectory: { users: users.yaml }\n');
  await writeFile(join(folder.path, 'users.yaml'), 'users: [{ name: alice, password: hunter2 }]\n');
  const { code, stdout } = await sealpost(['config', 'check'], { cwd: folder.path });
  assert.equal(code, 1);
  assert.match(stdout, /users\.yaml:1: users\[0\]\.password/);
  assert.doesNotMatch(stdout, /hunter2/);
});

test('config check reads the users file also where something else is wrong', async () => {
  await using folder = await tempDir('cli');
  await writeFile(join(folder.path, 'sealpost.yaml'), 'listeners: x\ndirectory: { users: users.yaml }\n');
  await writeFile(join(folder.path, 'users.yaml'), 'users: [{ name: 5 }]\n');
  const { stdout } = await sealpost(['config', 'check', '--json'], { cwd: folder.path });
  const { problems } = JSON.parse(stdout) as { problems: { path: string; message: string }[] };
  assert.deepEqual(
    problems.map((p) => p.path),
    ['listeners', 'directory.users', 'directory.users'],
  );
  assert.match(problems[1]?.message ?? '', /users\.yaml:1: users\[0\]\.name/);
  assert.doesNotMatch(stdout, /\(invalid\)/);
});

test('wrong usage is JSON too where JSON is asked for', async () => {
  for (const args of [['queue', 'show'], ['nosuch'], ['queue', 'retry'], ['queue', 'list', '--state', 'lost']]) {
    const { code, stderr } = await sealpost([...args, '--json'], { cwd: '/' });
    assert.equal(code, 2);
    assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'usage');
  }
});

test('config show prints a configuration that is valid itself, without secrets', async () => {
  await using folder = await tempDir('cli');
  const file = join(folder.path, 'sealpost.yaml');
  await writeFile(file, 'listeners: []\nbus: { servers: ["nats://127.0.0.1:1"], user: a, password: hunter2 }\n');
  const { stdout } = await sealpost(['config', 'show'], { cwd: folder.path });
  assert.doesNotMatch(stdout, /hunter2/);
  assert.equal(parse(stdout).bus.password, '[secret]');
  await writeFile(file, stdout);
  assert.equal((await sealpost(['config', 'check'], { cwd: folder.path })).code, 0);
});

test('config schema is JSON Schema, or text with every option', async () => {
  const json = await sealpost(['config', 'schema', '--json'], { cwd: '/' });
  assert.equal(JSON.parse(json.stdout).$schema, 'https://json-schema.org/draft/2020-12/schema');
  const text = await sealpost(['config', 'schema'], { cwd: '/' });
  assert.match(text.stdout, /^queue\.expire\n +type +duration .*\n +default +"5d"\n +about +how long/m);
  assert.match(text.stdout, /^routes\[\]\.to\n +type +text, required\n +about/m);
});

test('users are added, changed and removed; the password comes from standard input', async () => {
  await using folder = await tempDir('cli');
  await writeFile(join(folder.path, 'sealpost.yaml'), 'listeners: []\ndirectory: { users: users.yaml }\n');
  const run = (args: string[], input = '') => sealpost(args, { cwd: folder.path, input });
  const added = await run(
    ['users', 'add', 'alice', '--address', 'alice@example.com', '--password-stdin'],
    'pass word\n',
  );
  assert.equal(added.code, 0, added.stderr);
  assert.match(added.stdout, /added user alice to .*users\.yaml, the local users file of this node/);
  // The cluster's directory is another one, and there is no node to ask for it.
  assert.equal((await run(['users', 'list', '--cluster'])).code, 3);
  const file = await readFile(join(folder.path, 'users.yaml'), 'utf8');
  assert.match(file, /\$argon2id\$/);
  assert.doesNotMatch(file, /pass word/);
  assert.match((await run(['users', 'list'])).stdout, /alice +alice@example\.com/);
  assert.equal((await run(['users', 'add', 'Alice', '--address', 'x@example.com', '--password-stdin'], 'x\n')).code, 1);
  assert.equal((await run(['users', 'passwd', 'alice', '--password-stdin'], 'other')).code, 0);
  assert.notEqual(await readFile(join(folder.path, 'users.yaml'), 'utf8'), file);
  assert.match((await run(['users', 'passwd', 'bob', '--password-stdin'], 'x')).stderr, /no user bob/);
  assert.match((await run(['users', 'passwd', 'alice', '--password-stdin'], '\n')).stderr, /password is empty/);
  assert.equal((await run(['users', 'passwd', 'alice'])).code, 2);
  assert.equal((await run(['users', 'remove', 'alice'])).code, 0);
  assert.match((await run(['users', 'list'])).stdout, /no users/);
});

test('a queue is listed, shown, printed, held, released, tried again and emptied', async () => {
  // Port 1 of loopback refuses connections, so mail stays.
  await using node = await SealpostNode.create({ sink: 1 });
  await node.start();
  for (const to of ['a@one.test', 'b@two.test']) await submit(node.port, to);
  const run = (...args: string[]) => sealpost([...args, '--config', node.configFile], { cwd: node.folder });
  type Entry = { queueId: string; state: string; recipients: { recipient: { address: string } }[] };
  const list = async (...args: string[]): Promise<Entry[]> =>
    (JSON.parse((await run('queue', 'list', '--json', ...args)).stdout) as { entries: Entry[] }).entries;
  const all = await waitFor(
    async () => {
      const entries = await list('--state', 'deferred');
      return entries.length === 2 && entries;
    },
    { what: 'two deferred messages' },
  );
  const id = all[0]?.queueId ?? '';

  assert.equal((await list('--domain', 'two.test')).length, 1);
  assert.equal((await list('--limit', '1')).length, 1);
  assert.equal((await list(id, '--sender', 'SENDER@example.com', '--reply', '4.4.1')).length, 1);
  assert.equal((await list('--older-than', '1h')).length, 0);
  assert.equal((await list('--next-hop', '127.0.0.1', '--younger-than', '1h')).length, 2);
  const summary = async (by: string): Promise<string> => (await run('queue', 'summary', '--by', by)).stdout;
  assert.match(await summary('reply'), /^MESSAGES +OLDEST.*LAST REPLY\n2 +\d.*in .*451 4\.4\.1 cannot connect to #/);
  assert.match(await summary('destination'), /\n1 .*one\.test\n1 .*two\.test\n$/);
  assert.match(await summary('sender'), /\n2 .*sender@example\.com\n$/);
  assert.match(
    (await run('queue', 'list')).stdout,
    /WAITS FOR\n.*deferred.*one\.test.*451 4\.4\.1 cannot connect to 127\.0\.0\.1/s,
  );
  assert.match(
    (await run('queue', 'show', id)).stdout,
    /state +deferred[\s\S]*RECIPIENT[\s\S]*a@one\.test.*deferred, next attempt in/,
  );
  assert.match((await run('queue', 'cat', id)).stdout, /^Received: [\s\S]*\r\n\r\nhello\r\n$/);
  assert.match((await run('queue', 'hold', id)).stdout, /^1 message held/);
  assert.equal((await list('--state', 'hold'))[0]?.queueId, id);
  assert.match(
    (await run('queue', 'show', id)).stdout,
    /deferred, waiting for an operator: "sealpost queue release \w{16}"; last reply: 451/,
  );
  assert.match((await run('queue', 'release', id)).stdout, /^1 message released/);
  // The node goes on with what it has when its file is broken, and so do the commands.
  const right = await readFile(node.configFile, 'utf8');
  await writeFile(node.configFile, `${right}\nlimits: { errors: 0 }\n`);
  assert.equal((await list()).length, 2);
  assert.equal((await run('status')).code, 0);
  await writeFile(node.configFile, right);
  assert.equal((await run('queue', 'hold')).code, 2);
  assert.equal((await run('queue', 'hold', '--all', '--domain', 'two.test')).code, 2);
  const refused = await run('queue', 'remove', '--all');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /remove 2 messages\. There is no terminal to ask on: use --yes/);
  assert.match((await run('queue', 'hold', '--all', '--dry-run')).stdout, /^2 messages would be held\n$/);
  const { output } = await onTerminal(node.folder, ['queue', 'hold', '--all', '--config', node.configFile], 'n\n');
  assert.match(output, /hold 2 messages\. Go on\? \[y\/N\]/);
  assert.equal((await list('--state', 'hold')).length, 0);
  const reroute = ['queue', 'reroute', '--domain', 'two.test', '--via'];
  assert.match((await run(...reroute, 'smtp://me@127.0.0.1')).stderr, /without a user/);
  assert.match((await run(...reroute, 'smtp://127.0.0.1:2', '--yes')).stdout, /^1 message rerouted/);
  assert.equal((await list('--next-hop', 'smtp://127.0.0.1:2')).length, 1);
  assert.match((await run('queue', 'hold', '0000000000000000')).stderr, /no message 0000000000000000 on this node/);
  await waitFor(async () => (await list('--state', 'deferred', '--reply', '451')).length === 2, { what: 'attempts' });
  assert.match((await run('queue', 'retry', '--domain', 'two.test', '--yes')).stdout, /^1 message will be tried now/);
  assert.match((await run('queue', 'remove', '--all', '--yes')).stdout, /^2 messages removed/);
  assert.match((await run('queue', 'list')).stdout, /no mail in the queue/);
  const gone = await run('queue', 'show', '0000000000000000');
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /0000000000000000/);
});

async function submit(port: number, to: string): Promise<void> {
  await using dialog = await Dialog.connect(port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say('MAIL FROM:<sender@example.com>', 250);
  await dialog.say(`RCPT TO:<${to}>`, 250);
  await dialog.say('DATA', 354);
  await dialog.say('From: sender@example.com\r\nSubject: x\r\n\r\nhello\r\n.', 250);
}
