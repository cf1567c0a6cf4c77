import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { address, answerTo, FakeDns } from '#test/kit/dns/fake-dns.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { said, startPolicy } from '#test/kit/nodes/policy.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { facts, USERS } from '#test/unit/policy/fixtures.ts';

const LATER = '451 4.7.1 Greylisted, please try again later';
const MINUTE = 60_000;

type Site = Awaited<ReturnType<typeof startPolicy>>;

async function rcpt(site: Site, to: string, session: Parameters<typeof facts>[0] = {}, reversePath = 'a@far.test') {
  const verdict = await site.policy['recipient-check']({
    facts: facts(session),
    reversePath,
    recipient: { address: to },
  });
  return said(verdict);
}

const input = (folder: string, greylist: object = {}, more: object = {}) => ({
  node: { data: folder },
  domains: [{ name: 'example.com', local: true }],
  directory: { users: join(folder, 'users.yaml') },
  checks: { greylist: { enabled: true, ...greylist }, ...more },
});

async function folderWithUsers() {
  const folder = await tempDir('greylist');
  await writeFile(join(folder.path, 'users.yaml'), USERS);
  return folder;
}

test('strangers come again, and others need not', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using folder = await folderWithUsers();
  await using site = await startPolicy(
    '127.0.0.1:1',
    input(folder.path, { recipients: ['bob@example.com'], clients: ['big.example'] }),
  );
  assert.equal(await rcpt(site, 'alice@example.com'), LATER);
  assert.equal(await rcpt(site, 'alice@example.com'), LATER);
  assert.equal(await rcpt(site, 'bob@example.com'), '250', 'an exempt recipient');
  assert.equal(await rcpt(site, 'postmaster'), '250');
  const provider = { client: { address: '203.0.113.7', name: 'out7.big.example', helo: 'x' } };
  assert.equal(await rcpt(site, 'alice@example.com', provider), '250', 'an exempt client');
  assert.equal(await rcpt(site, 'alice@example.com', { user: 'alice' }), '250');
  assert.equal(await rcpt(site, 'alice@example.com', { scope: 'internal' }), '250');
  clocks.tick(MINUTE);
  assert.equal(await rcpt(site, 'alice@example.com'), '250');
  assert.equal(await rcpt(site, 'sales@example.com'), '250', 'its network has passed');
});

test('recipients that do not exist are refused as ever, and are not remembered', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using folder = await folderWithUsers();
  await using site = await startPolicy('127.0.0.1:1', input(folder.path));
  for (let n = 0; n < 50; n++) assert.match(await rcpt(site, `made-up-${n}@example.com`), /^550 5\.1\.1/);
  assert.match(await rcpt(site, 'x@elsewhere.test'), /^554 5\.7\.1/);
  clocks.tick(MINUTE);
  // Were they remembered, the network would wait as a whole since then.
  assert.equal(await rcpt(site, 'alice@example.com'), LATER);
});

test('a client on a DNS allow list need not come again', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '', type } = query.questions[0] ?? {};
    const hit = name === '7.2.0.192.allow.test' && type === 1;
    return hit ? answerTo(query, { answers: [address(name, '127.0.0.2')] }) : answerTo(query, { rcode: 3 });
  });
  await using folder = await folderWithUsers();
  const lists = { 'dns-lists': { allow: [{ zone: 'allow.test' }] } };
  await using site = await startPolicy(dns.server, input(folder.path, {}, lists));
  assert.equal(await rcpt(site, 'alice@example.com'), '250');
  assert.equal(
    await rcpt(site, 'alice@example.com', { client: { address: '192.0.2.8', name: null, helo: 'x' } }),
    LATER,
  );
});

test('who waits and who has passed survive a restart; a damaged file begins an empty list', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using folder = await folderWithUsers();
  const other = { client: { address: '198.51.100.7', name: null, helo: 'x' } };
  {
    await using site = await startPolicy('127.0.0.1:1', input(folder.path));
    await rcpt(site, 'alice@example.com');
    clocks.tick(MINUTE);
    assert.equal(await rcpt(site, 'alice@example.com'), '250');
    assert.equal(await rcpt(site, 'alice@example.com', other), LATER);
  }
  const file = join(folder.path, 'greylist.json');
  {
    await using site = await startPolicy('127.0.0.1:1', input(folder.path));
    assert.equal(await rcpt(site, 'alice@example.com', {}, 'new@far.test'), '250');
    clocks.tick(MINUTE);
    assert.equal(await rcpt(site, 'alice@example.com', other), '250');
    assert.doesNotMatch(await readFile(file, 'utf8'), /example|alice/, 'no address is on disk');
  }
  await writeFile(file, '{"network":"192.0.2.0/24","passed":');
  await using site = await startPolicy('127.0.0.1:1', input(folder.path));
  assert.equal(await rcpt(site, 'alice@example.com'), LATER);
  assert.equal(site.lines().filter(({ msg }) => msg.startsWith('greylist of before the start')).length, 1);
});

test('a retry at another node passes, and so does everything after all nodes have been restarted', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using sink = await SmtpSink.start();
  const options = {
    nek: generateNek('test'),
    bus: guarded,
    sink: sink.port,
    config: `
relay: {}
domains: [{ name: example.com, local: true, keys: { proof: none } }]
checks: { greylist: { enabled: true, delay: 2s } }`,
  };
  await using first = await SealpostNode.create({ name: 'edge-1', ...options });
  await using second = await SealpostNode.create({ name: 'edge-2', ...options });
  const begin = async (node: SealpostNode, from: string) => {
    await using client = await Dialog.connect(node.port);
    await client.read();
    await client.command('EHLO client.test');
    await client.command(`MAIL FROM:<${from}>`);
    return (await client.command('RCPT TO:<b@example.com>')).code;
  };
  await first.start();
  await second.start();
  assert.equal(await begin(first, 'a@far.test'), 451);
  await delay(2200);
  assert.equal(await begin(second, 'a@far.test'), 250);
  await waitFor(async () => (await begin(first, 'new@far.test')) === 250, { what: 'the first node to hear of it' });
  for (const node of [first, second]) for (const program of node.programs.values()) await program.stop();
  await second.start();
  assert.equal(await begin(second, 'newer@far.test'), 250);
  for (const node of [first, second]) {
    for (const [name, program] of node.programs) assert.doesNotMatch(program.output, /NATS permits/, name);
  }
  assert.doesNotMatch(guarded.server.output, /Violation/);
});
