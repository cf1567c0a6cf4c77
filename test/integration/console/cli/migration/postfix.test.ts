import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { onTerminal, sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { copyFixture } from '#test/kit/postfix/plan.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three main.cf as people have them, imported, checked and run: the node lets pass what Postfix let pass, and refuses what
 * it refused. Ports below 1024 become free ones; the rest is as the import made it.
 */

const FIXTURES = [
  { name: 'relay', args: [] },
  { name: 'submission', args: ['--master', 'master.cf'] },
  { name: 'opendkim', args: ['--opendkim', 'opendkim.conf'] },
] as const;

type Result = { account: { place: string; setting: string }[]; config: string; written: string[]; problems: string[] };
type Config = {
  listeners: { port: number; address?: string }[];
  checks?: Record<string, { delay?: string }>;
  directory?: { users: string };
  credentials?: { nek: string };
  routes: { via: string; password?: { file: string } }[];
};

/** Import a fixture in `folder`, with certificates where its main.cf names them. */
async function imported(name: (typeof FIXTURES)[number]['name'], folder: string): Promise<Result> {
  await copyFixture(name, folder);
  await mkdir(join(folder, 'tls'), { recursive: true });
  const { certificateFile, keyFile } = await writeCertificate(join(folder, 'tls'), { names: ['localhost'] });
  const [certificate, key] = [await readFile(certificateFile), await readFile(keyFile)];
  for (const file of ['relay', 'mail']) {
    await writeFile(join(folder, 'tls', `${file}.crt`), certificate);
    await writeFile(join(folder, 'tls', `${file}.key`), key, { mode: 0o600 });
  }
  return JSON.parse(await run(name, folder)) as Result;
}

async function run(name: string, folder: string): Promise<string> {
  const { args } = FIXTURES.find((f) => f.name === name) ?? { args: [] };
  const made = await sealpost(['import', 'postfix', 'main.cf', ...args, '--json'], { cwd: folder });
  assert.equal(made.code, 0, made.stderr + made.stdout);
  return made.stdout;
}

/**
 * The node of an import, at loopback alone. `ports`: those of the file, and free ones in their place; `change` puts the next
 * hops and what asks the Internet in place of the real ones.
 */
async function started(folder: string, ports: Record<number, number>, change: (config: Config) => void) {
  const config = parse(await readFile(join(folder, 'sealpost.yaml'), 'utf8')) as Config;
  for (const listener of config.listeners) {
    listener.port = ports[listener.port] ?? listener.port;
    listener.address = '127.0.0.1';
  }
  change(config);
  // The node has a folder of its own.
  if (config.directory !== undefined) config.directory.users = join(folder, 'users.yaml');
  if (config.credentials !== undefined) config.credentials.nek = join(folder, config.credentials.nek);
  for (const { password } of config.routes) if (password !== undefined) password.file = join(folder, password.file);
  const node = await SealpostNode.create({ file: stringify(config) });
  await node.start();
  return node;
}

/** The code of the first reply that is not 250; mail is sent where all are. */
async function send(
  port: number,
  to: string,
  { from = 'someone@outside.test', localAddress = '127.0.0.1', helo = 'client.test' } = {},
) {
  await using client = await Dialog.connect(port, { localAddress });
  await client.expect(220);
  await client.say(`EHLO ${helo}`, 250);
  for (const command of [`MAIL FROM:<${from}>`, `RCPT TO:<${to}>`]) {
    const { code } = await client.command(command);
    if (code !== 250) return code;
  }
  await client.say('DATA', 354);
  await client.say(`From: <${from}>\r\nSubject: test\r\n\r\ntext\r\n.`, 250);
  return 250;
}

const OUTSIDE = { localAddress: '127.0.0.66' };

for (const { name } of FIXTURES) {
  test(`main.cf of ${name}: every parameter has a line, and the result passes config check`, async () => {
    await using temp = await tempDir('postfix');
    const { account, problems, written } = await imported(name, temp.path);
    const main = await readFile(join(temp.path, 'main.cf'), 'utf8');
    for (const [, parameter = ''] of main.matchAll(/^(\w+) *=/gm)) {
      assert.ok(
        account.some(({ setting }) => setting.startsWith(`${parameter} =`) || setting.startsWith(`${parameter}:`)),
        `${parameter} has no line`,
      );
    }
    assert.deepEqual(problems, []);
    for (const file of written) assert.equal((await stat(join(temp.path, file))).mode & 0o077, 0, file);
    const check = await sealpost(['config', 'check'], { cwd: temp.path });
    assert.equal(check.code, 0, check.stdout);
  });
}

test('main.cf of relay: inside may send anywhere, outside only to its domains, and is checked', async () => {
  await using temp = await tempDir('postfix');
  await using inside = await SmtpSink.start();
  await using smart = await SmtpSink.start();
  await imported('relay', temp.path);
  const mx = await freePort();
  await using _node = await started(temp.path, { 25: mx }, ({ routes, checks = {} }) => {
    for (const route of routes) route.via = route.via.replace('127.0.0.1:2525', `127.0.0.1:${inside.port}`);
    assert.match(routes.at(-1)?.via ?? '', /^smtp:\/\/example-corp@smarthost\.isp\.example:587$/);
    routes[routes.length - 1] = { via: `smtp://127.0.0.1:${smart.port}`, ...{ to: '*' } };
    // These ask DNS of the Internet.
    delete checks['sender-domain'];
    delete checks['dns-lists'];
    (checks['greylist'] as { delay?: string }).delay = '1s';
  });
  assert.equal(await send(mx, 'other@elsewhere.test'), 250, 'from inside to anywhere');
  await waitFor(() => smart.messages.length === 1, { timeout: 10_000, what: 'mail for elsewhere at the smart host' });

  assert.equal(await send(mx, 'other@elsewhere.test', OUTSIDE), 554, 'from outside to anywhere');
  assert.equal(
    await send(mx, 'user@example.com', { ...OUTSIDE, helo: '192.0.2.1' }),
    550,
    'with an address as its name',
  );
  assert.equal(await send(mx, 'user@example.com', OUTSIDE), 451, 'greylisted');
  await waitFor(async () => (await send(mx, 'user@example.com', OUTSIDE)) === 250, {
    timeout: 10_000,
    what: 'mail from outside for a domain of relay_domains to pass',
  });
  await waitFor(() => inside.messages.length === 1, { timeout: 10_000, what: 'mail inside' });
});

test('main.cf of submission: users log in under TLS and send as themselves, others reach the domain alone', async () => {
  await using temp = await tempDir('postfix');
  await using mailboxes = await SmtpSink.start({ lmtp: true });
  await using far = await SmtpSink.start();
  await imported('submission', temp.path);
  await addUser(join(temp.path, 'users.yaml'), {
    name: 'alice',
    password: new Secret('secret'),
    addresses: ['alice@example.org', 'sales@example.org'],
  });
  const [mx, submission, submissions] = [await freePort(), await freePort(), await freePort()];
  await using _node = await started(temp.path, { 25: mx, 587: submission, 465: submissions }, ({ routes }) => {
    for (const route of routes) route.via = route.via.replace(':2424', `:${mailboxes.port}`);
    routes.push({ via: `smtp://127.0.0.1:${far.port}`, ...{ to: '*' } });
  });
  assert.equal(await send(mx, 'alice@example.org', OUTSIDE), 250, 'from outside to a mailbox');
  assert.equal(await send(mx, 'team@lists.example.org', OUTSIDE), 250, 'from outside to an alias');
  assert.equal(await send(mx, 'nobody@lists.example.org', OUTSIDE), 550, 'from outside to no alias');
  assert.equal(await send(mx, 'other@elsewhere.test', OUTSIDE), 554, 'from outside to anywhere');
  await waitFor(() => mailboxes.messages.length === 2, { timeout: 10_000, what: 'mail in the mailboxes' });
  assert.deepEqual(mailboxes.messages.flatMap((m) => m.recipients.map((r) => r.address)).toSorted(), [
    'alice@example.org',
    'alice@example.org',
    'bob@example.org',
  ]);

  {
    await using client = await Dialog.connect(submission);
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<alice@example.org>', 530);
    await client.say('STARTTLS', 220);
    await client.startTls();
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<alice@example.org>', 530);
  }
  await using client = await Dialog.connect(submissions, { implicitTls: true });
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say(`AUTH PLAIN ${Buffer.from('\0alice\0secret').toString('base64')}`, 235);
  await client.say('MAIL FROM:<bob@example.org>', 553);
  await client.say('MAIL FROM:<sales@example.org>', 250);
  await client.say('RCPT TO:<other@elsewhere.test>', 250);
  await client.say('DATA', 354);
  await client.say('From: <sales@example.org>\r\nSubject: test\r\n\r\ntext\r\n.', 250);
  await waitFor(() => far.messages.length === 1, { timeout: 10_000, what: 'mail of a user to go out' });
});

test('main.cf with OpenDKIM: the key comes along, and mail from inside is signed', async () => {
  await using temp = await tempDir('postfix');
  await using far = await SmtpSink.start();
  const { config } = await imported('opendkim', temp.path);
  assert.match(config, /^ {2}- \{ name: example\.net \}\n {2}- \{ name: brand\.example, sign-as: example\.net \}$/m);
  const mx = await freePort();
  await using node = await started(temp.path, { 25: mx }, (made) => {
    made.routes = [{ via: `smtp://127.0.0.1:${far.port}`, ...{ to: '*' } }];
    const domains = (made as unknown as { domains: { keys?: object }[] }).domains;
    // The domains of the tests are not in DNS.
    for (const domain of domains) domain.keys = { proof: 'none' };
  });
  assert.equal(
    await send(mx, 'other@elsewhere.test', { ...OUTSIDE, from: 'a@example.net' }),
    250,
    'all of 127.0.0.0/8 is inside',
  );
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await mkdir(join(temp.path, 'keys'));
  await writeFile(join(temp.path, 'keys/example.net.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
    mode: 0o600,
  });
  const keyTable = join(temp.path, 'KeyTable');
  await writeFile(keyTable, (await readFile(keyTable, 'utf8')).replace('/etc/opendkim', temp.path));
  // The command that the account names.
  const tables = ['--key-table', keyTable, '--signing-table', `refile:${join(temp.path, 'SigningTable')}`];
  await node.sealpost('keys', 'import', 'opendkim', ...tables);
  await waitFor(
    async () => {
      const before = far.messages.length;
      await send(mx, 'other@elsewhere.test', { from: 'a@brand.example' });
      await waitFor(() => far.messages.length > before, { timeout: 10_000, what: 'the next message' });
      return /DKIM-Signature:[\s\S]*\bd=example\.net;/.test(far.messages.at(-1)?.data.toString() ?? '');
    },
    { timeout: 30_000, what: 'mail of brand.example to be signed as example.net' },
  );
});

test('a value that opens the relay is asked about', async () => {
  await using temp = await tempDir('postfix');
  await writeFile(
    join(temp.path, 'main.cf'),
    'mynetworks = 0.0.0.0/0\nmyhostname = open.example.com\nmydestination =\n',
  );
  const args = ['import', 'postfix', 'main.cf'];
  const refused = await sealpost(args, { cwd: temp.path });
  assert.equal(refused.code, 2);
  assert.match(
    refused.stderr,
    /mynetworks has 0\.0\.0\.0\/0[\s\S]*OPEN RELAY[\s\S]*--without-open-relay[\s\S]*--accept-open-relay/,
  );
  await assert.rejects(stat(join(temp.path, 'sealpost.yaml')), { code: 'ENOENT' });

  const no = await onTerminal(temp.path, [...args, '--out', 'no.yaml'], 'n\n');
  assert.equal(no.code, 1, no.output);
  assert.doesNotMatch(await readFile(join(temp.path, 'no.yaml'), 'utf8'), /0\.0\.0\.0/);
  const yes = await onTerminal(temp.path, [...args, '--out', 'yes.yaml'], 'yes\n');
  assert.equal(yes.code, 0, yes.output);
  assert.match(yes.output, /OPEN RELAY/);
  assert.match(await readFile(join(temp.path, 'yes.yaml'), 'utf8'), /- 0\.0\.0\.0\/0/);
  const accepted = await sealpost([...args, '--accept-open-relay', '--dry-run'], { cwd: temp.path });
  assert.deepEqual([accepted.code, /- 0\.0\.0\.0\/0/.test(accepted.stdout)], [0, true]);
  const without = await sealpost([...args, '--without-open-relay', '--dry-run'], { cwd: temp.path });
  assert.deepEqual([without.code, /- 0\.0\.0\.0\/0/.test(without.stdout)], [1, false]);
});
