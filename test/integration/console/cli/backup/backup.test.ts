import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { generateNek } from '#shared/dkim/nek.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { submit } from '#test/kit/smtp/submit.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Backup and restoration of a node from front to back, with the programs `age` and `tar` beside. */

const run = promisify(execFile);
const PASSWORD = 'correct horse battery staple';
const PASSPHRASE = { SEALPOST_BACKUP_PASSPHRASE: 'open sesame, please' };
const KEY = await generateX25519Identity();
const RECIPIENT = await identityToRecipient(KEY);

type Setting = AsyncDisposable & {
  node: SealpostNode;
  submission: number;
  /** For backups, and for keys of age. */
  folder: string;
  backup(file: string, ...args: string[]): Promise<CommandResult>;
  restore(file: string, ...args: string[]): Promise<CommandResult>;
};

/** A node with a submission port, whose next hop is a sink. */
async function setUp(sink: number): Promise<Setting> {
  await using undo = new AsyncDisposableStack();
  const [port, submission] = [await freePort(), await freePort()];
  const config = [
    'listeners:',
    `  - { name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }`,
    `  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: none, auth: always }`,
    'queue: { retry: { first: 1s, max: 1s } }',
  ].join('\n');
  const node = undo.use(await SealpostNode.create({ port, sink, config }));
  const { path: folder } = undo.use(await tempDir('backup'));
  const identity = join(folder, 'key.txt');
  await writeFile(identity, `# for tests\n${KEY}\n`);
  const command = (...args: string[]) => sealpost(args, { cwd: folder });
  const resources = undo.move();
  return {
    ...{ node, submission, folder },
    backup: (file, ...args) => command('backup', file, '-r', RECIPIENT, '--config', node.configFile, ...args),
    restore: (file, ...args) => command('restore', file, '-i', identity, ...args),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function fingerprints(node: SealpostNode): Promise<string[]> {
  const { keys } = JSON.parse(await node.sealpost('keys', 'list', '--json')) as { keys: KeyStatus[] };
  return keys.map(({ selector, fingerprint, state }) => `${selector} ${fingerprint} ${state}`).sort();
}

const send = (port: number, to: string) =>
  submit(port, { user: 'alice', password: PASSWORD }, [
    {
      from: 'alice@example.com',
      options: [],
      recipients: [[to, []]],
      text: `From: alice@example.com\r\nMessage-ID: <${to}>\r\nSubject: Hello\r\n\r\nHello.\r\n`,
    },
  ]);

async function addAlice(node: SealpostNode): Promise<void> {
  const args = ['users', 'add', 'alice', '--cluster', '--address', 'alice@example.com', '--password-stdin'];
  const { code, stderr } = await sealpost([...args, '--config', node.configFile], {
    cwd: node.folder,
    input: `${PASSWORD}\n`,
  });
  assert.equal(code, 0, stderr);
}

/** Everything of the node on disk is gone. */
async function lose(node: SealpostNode): Promise<void> {
  for (const name of await readdir(node.folder)) await rm(join(node.folder, name), { recursive: true, force: true });
}

function ok({ code, stdout, stderr }: CommandResult): string {
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  return stdout;
}

describe('backup and restoration', needs('python3'), () => {
  test('after a total loss keys, users and queued mail are there again, and each message is delivered once', async () => {
    await using sink = await Tally.start();
    await using site = await setUp(sink.port);
    const { node, submission, folder } = site;
    await node.start();
    await node.createKey('example.com', 's1');
    await node.createKey('example.com', 's2', 'ed25519');
    await addAlice(node);
    await send(submission, 'first@peer.example');
    await waitFor(() => sink.messages === 1, { what: 'the first message' });
    await node.sealpost('queue', 'suspend', 'peer.example', '--reason', 'test').catch(() => undefined);
    sink.pause();
    await send(submission, 'second@peer.example');
    await waitFor(async () => (await node.queued()) === 1, { what: 'the second message to wait' });
    const before = await fingerprints(node);
    const file = join(folder, 'whole.age');
    // The domain and the NEKs; alice.
    assert.match(ok(await site.backup(file, '--queue')), /, 2 records of keys .*, 1 of the directory, 1 messages\n/);
    await node.programs.get('all')?.kill();
    await lose(node);
    sink.resume();

    const planned = ok(await site.restore(file, '--dry-run', '--queue', 'deliver'));
    assert.match(planned, /it is whole\n/);
    assert.match(planned, /mail of edge-1: 1 messages would be restored/);
    assert.deepEqual(await readdir(node.folder), []);
    const done = JSON.parse(ok(await site.restore(file, '--queue', 'deliver', '--json')));
    assert.equal(done.mail.counts[0].messages, 1);
    assert.ok(done.files.written.includes(node.configFile));
    assert.equal((await stat(join(node.folder, 'nek.key'))).mode & 0o777, 0o600);
    await node.start();
    assert.deepEqual(await fingerprints(node), before);
    await waitFor(() => sink.arrivals.get('<second@peer.example>') === 1, { what: 'the mail of the backup' });
    await send(submission, 'third@peer.example');
    await waitFor(() => sink.arrivals.has('<third@peer.example>'), { what: 'mail of a user of the backup' });
    assert.equal(sink.duplicates, 0);
    assert.match(await node.sealpost('audit'), /restore .*backup of/);

    // Once more, with all that is there now: nothing is changed, and the delivered message does not come back.
    await node.programs.get('all')?.stop();
    const again = JSON.parse(ok(await site.restore(file, '--queue', 'deliver', '--json')));
    assert.deepEqual(again.files.written, []);
    assert.equal(again.records.restored, 0);
    assert.deepEqual(again.mail.counts, [
      { node: 'edge-1', messages: 0, known: { queued: 0, finished: 1, copy: 0, damaged: 0 } },
    ]);
    await node.start();
    await send(submission, 'fourth@peer.example');
    await waitFor(() => sink.arrivals.has('<fourth@peer.example>'), { what: 'mail' });
    assert.equal(sink.duplicates, 0);
  });

  test('a node that does not run is backed up from its disk', async () => {
    await using sink = await SmtpSink.start({
      script: ({ verb }) => (verb === 'RCPT' ? '451 4.2.0 later' : undefined),
    });
    await using site = await setUp(sink.port);
    const { node, submission, folder } = site;
    await node.start();
    await node.createKey('example.com', 's1', 'ed25519');
    await addAlice(node);
    await send(submission, 'first@peer.example');
    await waitFor(async () => (await node.queued()) === 1, { what: 'mail to wait' });
    await node.programs.get('all')?.kill();
    const { messages, keys, directory } = JSON.parse(ok(await site.backup(join(folder, 'x.age'), '--queue', '--json')));
    assert.equal(messages, 1);
    assert.ok(keys >= 1);
    assert.equal(directory, 1);
    // It was only read.
    await node.start();
    assert.equal(await node.queued(), 1);
  });

  test('refuses to overwrite, to work on a node that runs, and a wrong key, and writes nothing', async () => {
    await using site = await setUp(1);
    const { node, folder } = site;
    await node.start();
    const file = join(folder, 'x.age');
    ok(await site.backup(file));
    const before = await readFile(file);
    const refused = async (command: Promise<CommandResult>, text: RegExp, expected = 1): Promise<void> => {
      const { code, stderr } = await command;
      assert.equal(code, expected, stderr);
      assert.match(stderr, text);
    };
    await refused(site.backup(file), /is there already and is not overwritten/);
    assert.deepEqual(await readFile(file), before);
    await refused(site.restore(file), /a node runs on .*: stop it/);
    await node.programs.get('all')?.stop();
    await refused(
      sealpost(['restore', file], { cwd: folder, env: PASSPHRASE }),
      /the passphrase does not open the backup/,
    );
    await refused(sealpost(['restore', file], { cwd: folder }), /there is no terminal to ask/, 2);
    await refused(site.restore(join(folder, 'none.age')), /does not exist/);
    await writeFile(join(folder, 'cut.age'), before.subarray(0, before.length - 100));
    await rm(join(node.folder, 'data'), { recursive: true });
    await rm(join(node.folder, 'nek.key'));
    await refused(site.restore(join(folder, 'cut.age')), /was cut or changed/);
    await writeFile(node.configFile, `${await readFile(node.configFile, 'utf8')}\n# changed\n`);
    await refused(site.restore(file), /not as they are in the backup, and nothing was restored.*sealpost\.yaml/s);
    assert.deepEqual(await readdir(node.folder), ['sealpost.yaml']);
    await refused(site.restore(file, '--node', 'edge-1'), /restored with --queue only/, 2);
    await refused(
      site.restore(file, '--root', './trial', '--queue', 'hold', '--node', 'edge-7'),
      /knows no node edge-7/,
      2,
    );
    assert.deepEqual((await readdir(folder)).sort(), ['cut.age', 'key.txt', 'x.age']);
  });

  test('a trial goes below another folder, beside the node that runs', async () => {
    await using site = await setUp(1);
    const { node, folder } = site;
    await node.start();
    await node.createKey('example.com', 's1', 'ed25519');
    const file = join(folder, 'x.age');
    ok(await site.backup(file, '--queue'));
    const trial = join(folder, 'trial');
    const before = await readFile(node.configFile);
    // Nothing of it comes from where it was.
    await rm(join(node.folder, 'nek.key'));
    const { records } = JSON.parse(ok(await site.restore(file, '--root', trial, '--queue', 'hold', '--json')));
    assert.ok(records.restored >= 1);
    assert.deepEqual(await readFile(join(trial, node.configFile)), before);
    assert.ok((await readdir(join(trial, node.folder, 'data'))).includes('credentials'));
    assert.equal((await fingerprints(node)).length, 1);
  });

  test('there is no backup without the NEKs that its keys need', async () => {
    await using site = await setUp(1);
    const { node, folder } = site;
    await node.start();
    await node.createKey('example.com', 's1', 'ed25519');
    const other = 'sealpost-nek:other:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n';
    const nek = join(node.folder, 'nek.key');
    const right = await readFile(nek, 'utf8');
    await writeFile(nek, other);
    const { code, stderr } = await site.backup(join(folder, 'x.age'));
    assert.equal(code, 1);
    assert.match(stderr, /the records need NEK test \([0-9a-f]{16}\), and .* have other/);
    assert.deepEqual(await readdir(folder), ['key.txt']);
    await writeFile(nek, right);
    ok(await site.backup(join(folder, 'x.age')));
  });

  test('a passphrase comes from a file, or from the environment', async () => {
    await using site = await setUp(1);
    const { node, folder } = site;
    await node.start();
    const [file, secret] = [join(folder, 'x.age'), join(folder, 'secret')];
    await writeFile(secret, `${PASSPHRASE.SEALPOST_BACKUP_PASSPHRASE}\nnot this\n`);
    const args = ['--config', node.configFile, '--passphrase-file', secret];
    ok(await sealpost(['backup', file, ...args], { cwd: folder }));
    ok(await sealpost(['restore', file, '--root', './trial'], { cwd: folder, env: PASSPHRASE }));
  });
});

test('on a bus with users, the one for commands makes backups; they are restored while NATS is away', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using node = await SealpostNode.create({ bus: guarded });
  await using folder = await tempDir('backup');
  const [file, identity] = [join(folder.path, 'x.age'), join(folder.path, 'key.txt')];
  await writeFile(identity, `${KEY}\n`);
  await node.start();
  await node.createKey('example.com', 's1', 'ed25519');
  const before = await fingerprints(node);
  await node.sealpost('backup', file, '--recipient', RECIPIENT, '--queue');
  assert.match(await node.sealpost('audit'), /message-copy +all mail.*record-list +all records of keys/s);
  await node.programs.get('all')?.stop();
  await lose(node);
  await guarded.server.kill();
  await guarded.server.wipe();
  const restored = await sealpost(['restore', file, '-i', identity, '--queue', 'deliver', '--json'], {
    cwd: folder.path,
    env: { BUS_USER: 'operator', BUS_PASSWORD: guarded.login('operator').password.reveal() },
  });
  assert.deepEqual(JSON.parse(ok(restored)).living, []);
  await guarded.server.restart();
  await guarded.makeStreams();
  await node.start();
  assert.deepEqual(await fingerprints(node), before);
});

test('what a cluster has begun anew since the backup stays, on every node', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using nats = await startNatsServer({ jetStream: true });
  await using folder = await tempDir('backup');
  const [file, identity] = [join(folder.path, 'x.age'), join(folder.path, 'key.txt')];
  await writeFile(identity, `${KEY}\n`);
  const nek = generateNek('edge');
  const config = `bus: { servers: ["${nats.url}"] }`;
  await using old = await SealpostNode.create({ name: 'edge-1', nek, config });
  await using other = await SealpostNode.create({ name: 'edge-2', nek, config });
  await old.start();
  await old.createKey('example.com', 's1', 'ed25519');
  for (const selector of ['s2', 's3']) await old.sealpost('keys', 'create', 'example.com', selector, 'ed25519');
  await old.sealpost('backup', file, '--recipient', RECIPIENT);
  await old.programs.get('all')?.kill();
  await lose(old);
  await nats.kill();
  await nats.wipe();
  await nats.restart();
  // The same NEK, and nothing else of before: the record of the domain in the backup has had more changes.
  await other.start();
  await other.createKey('example.com', 'anew', 'ed25519');
  const anew = await fingerprints(other);
  const { code, stdout } = await sealpost(['restore', file, '-i', identity, '--json'], { cwd: folder.path });
  const { living, records } = JSON.parse(stdout);
  assert.deepEqual(living, ['edge-2']);
  assert.equal(code, 1);
  assert.ok(records.differs.includes('domain!example.com'), stdout);
  await old.start();
  await waitFor(async () => (await fingerprints(old)).join() === anew.join(), { what: 'the keys of the other node' });
  assert.deepEqual(await fingerprints(other), anew);
});

describe('a backup and the programs of others', needs('age', 'age-keygen'), () => {
  test('age and tar open it, with a public key and from standard output', async () => {
    await using site = await setUp(1);
    const { node, folder } = site;
    await node.start();
    await node.createKey('example.com', 's1', 'ed25519');
    const key = join(folder, 'age-key.txt');
    await run('age-keygen', ['-o', key]);
    const recipient = /age1\w+/.exec(await readFile(key, 'utf8'))?.[0] ?? '';
    const file = join(folder, 'x.age');
    const more = join(folder, 'more', 'authority');
    await mkdir(more, { recursive: true });
    await writeFile(join(more, 'key.pem'), 'secret');
    await chmod(join(more, 'key.pem'), 0o400);
    const shell = `"$@" backup - -r ${recipient} --config ${node.configFile} --include ${join(folder, 'more')} > ${file}`;
    await run('sh', ['-c', shell, 'sh', process.execPath, ...sealpostCommand()], { cwd: folder });
    const out = join(folder, 'out');
    await mkdir(out);
    await run('sh', ['-c', `age --decrypt -i ${key} ${file} | tar -x -C ${out}`]);
    assert.deepEqual(await readFile(join(out, 'files', node.configFile)), await readFile(node.configFile));
    assert.equal((await stat(join(out, 'files', more, 'key.pem'))).mode & 0o777, 0o400);
    const records = await readFile(join(out, 'records/keys/000001.jsonl'), 'utf8');
    assert.ok(
      records
        .trim()
        .split('\n')
        .every((line) => JSON.parse(line).macs.length > 0),
    );
    assert.doesNotMatch(records, /PRIVATE/);
    const manifest = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'));
    assert.equal(manifest.format, 1);
    await node.programs.get('all')?.stop();
    await lose(node);
    ok(await sealpost(['restore', file, '--identity', key], { cwd: folder }));
    await node.start();
    assert.equal((await fingerprints(node)).length, 1);
  });
});

function sealpostCommand(): string[] {
  return [join(import.meta.dirname, '../../../../../services/console/cli/sealpost.js')];
}
