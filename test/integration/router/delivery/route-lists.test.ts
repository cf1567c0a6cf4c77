import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Routes with several hosts, through a real node. */

/** Send `count` messages in one session. */
async function send(node: SealpostNode, to: string, count = 1): Promise<void> {
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  for (let i = 0; i < count; i++) {
    await client.say('MAIL FROM:<a@client.test>', 250);
    await client.say(`RCPT TO:<${to}>`, 250);
    await client.say('DATA', 354);
    await client.say('Subject: x\r\n\r\nx\r\n.', 250);
  }
}

test('hosts share the mail by weight, and one that is down loses none of it', async () => {
  await using a = await SmtpSink.start();
  await using b = await SmtpSink.start();
  await using node = await SealpostNode.create({
    config: [
      'routes:',
      '  - to: "*"',
      '    via:',
      `      - { hop: "smtp://127.0.0.1:${a.port}", weight: 3 }`,
      `      - { hop: "smtp://127.0.0.1:${b.port}", weight: 1 }`,
    ].join('\n'),
  });
  await node.start();
  await send(node, 'b@peer.test', 200);
  await waitFor(() => a.messages.length + b.messages.length === 200, { what: 'the mail at both hosts' });
  assert.ok(a.messages.length > 120 && b.messages.length > 20, `${a.messages.length} and ${b.messages.length}`);
  await a[Symbol.asyncDispose]();
  const before = b.messages.length;
  await send(node, 'b@peer.test', 50);
  await waitFor(() => b.messages.length === before + 50, { what: 'all of the mail at the other host' });
});

const root = process.getuid?.() === 0 ? needs('smtp-sink') : { skip: 'Postfix starts as root only' };

test('Postfix is the next host after one that fails in the middle of a session', root, async () => {
  await using dir = await tempDir('postfix');
  const port = await freePort();
  await using postfix = await startPostfix(
    dir.path,
    port,
    'myhostname = mx.d.test\nmydestination = d.test\nlocal_recipient_maps = inline:{ {b@d.test=x} }\n' +
      'smtpd_recipient_restrictions = reject_unauth_destination\n' +
      'smtpd_data_restrictions = check_sender_access static:hold\nsmtpd_forbid_unauth_pipelining = yes\n',
  );
  const log = async (): Promise<string> => readFile(join(dir.path, 'log'), 'utf8').catch(() => '');
  await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix', timeout: 20_000 });
  await using first = await SmtpSink.start({
    script: ({ verb }) => (verb === 'DATA' ? { reply: '421 4.3.2 going down', close: true } : undefined),
  });
  await using node = await SealpostNode.create({
    config: `routes: [{ to: "*", via: ["smtp://127.0.0.1:${first.port}", "smtp://127.0.0.1:${port}"] }]`,
  });
  await node.start();
  await send(node, 'b@d.test');
  await waitFor(async () => /hold: END-OF-MESSAGE|hold: DATA/.test(await log()), { what: 'the mail at Postfix' });
  assert.equal(first.messages.length, 0);
  const shown = JSON.parse(await node.sealpost('queue', 'list', '--json'));
  assert.deepEqual(shown.entries ?? shown, []);
  assert.equal(postfix.exit, undefined);
  // Both hosts are in the receipt.
  const { messages } = JSON.parse(await node.sealpost('queue', 'find', 'b@d.test', '--json'));
  const queueId = messages[0].queueId as string;
  const found = JSON.parse(await node.sealpost('queue', 'show', queueId, '--json'));
  const facts = JSON.parse(await node.sealpost('why', queueId, '--json'));
  const [host, wanted] = [`127.0.0.1[127.0.0.1]:${first.port}`, { code: 421, enhanced: '4.3.2', text: 'going down' }];
  for (const { entry } of [found, facts.found[0].facts]) {
    const [recipient] = entry.recipients;
    assert.deepEqual(recipient.others, [{ host, reply: wanted }]);
    assert.equal(recipient.status.outcome.host, `127.0.0.1[127.0.0.1]:${port}`);
  }
  const lines = (await node.sealpost('queue', 'show', queueId)).split('\n');
  assert.match(lines.at(-2) ?? '', /^ +other host +421 4\.3\.2 going down \(127\.0\.0\.1\[127\.0\.0\.1\]:\d+\)$/);
});

test('LMTP servers in a list: a recipient that one refuses for good stays refused, the others get the mail once', async () => {
  await using a = await SmtpSink.start({ lmtp: true, script: ({ verb }) => (verb === 'LHLO' ? 'close' : undefined) });
  await using b = await SmtpSink.start({
    lmtp: true,
    script: ({ address, verb }) => (verb === 'RCPT' && address === 'gone@box.test' ? '550 5.1.1 unknown' : undefined),
  });
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({
    config: [
      'routes:',
      `  - { to: box.test, via: ["lmtp://127.0.0.1:${a.port}", "lmtp://127.0.0.1:${b.port}"] }`,
      `  - { to: "*", via: "smtp://127.0.0.1:${sink.port}" }`,
    ].join('\n'),
  });
  await node.start();
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<a@client.test>', 250);
  for (const name of ['one', 'gone', 'two']) await client.say(`RCPT TO:<${name}@box.test>`, 250);
  await client.say('DATA', 354);
  await client.say('Subject: x\r\n\r\nx\r\n.', 250);
  await waitFor(() => sink.messages.length === 1, { what: 'the report of the refused recipient' });
  assert.deepEqual(
    b.messages.flatMap(({ recipients }) => recipients.map(({ address }) => address)),
    ['one@box.test', 'two@box.test'],
  );
  assert.equal(sink.messages[0]?.recipients[0]?.address, 'a@client.test');
});

test('mail takes the route of its user and of its sender, also after a restart', async () => {
  await using all = await SmtpSink.start();
  await using news = await SmtpSink.start();
  await using users = await SmtpSink.start();
  const port = await freePort();
  const to = ({ port }: SmtpSink, more: string) => `  - { to: "*", via: "smtp://127.0.0.1:${port}"${more} }`;
  await using node = await SealpostNode.create({
    port,
    config: [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
      'directory: { users: users.yaml }',
      'queue: { retry: { first: 1s } }',
      'routes:',
      to(all, ''),
      to(news, ', from: news.test'),
      to(users, ', user: alice'),
    ].join('\n'),
  });
  await addUser(join(node.folder, 'users.yaml'), {
    name: 'alice',
    password: new Secret('secret'),
    addresses: ['alice@example.com', 'alice@news.test'],
  });
  const program = await node.start();
  const send = async (reversePath: string, isAlice: boolean): Promise<void> => {
    await using client = await Dialog.connect(port);
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    if (isAlice) await client.say(`AUTH PLAIN ${Buffer.from('\0alice\0secret').toString('base64')}`, 235);
    await client.say(`MAIL FROM:<${reversePath}>`, 250);
    await client.say('RCPT TO:<b@peer.test>', 250);
    await client.say('DATA', 354);
    await client.say(`From: ${reversePath === '' ? 'a@b.test' : reversePath}\r\n\r\nx\r\n.`, 250);
  };
  const taken = () => [all, news, users].map(({ messages }) => messages.length);
  await send('a@client.test', false);
  await send('', false);
  await send('daily@news.test', false);
  await send('alice@news.test', true);
  await waitFor(() => taken().reduce((a, b) => a + b) === 4, { what: 'the mail at its next hops' });
  assert.deepEqual(taken(), [2, 1, 1]);
  // What waits keeps its sender and its user.
  const { port: portOfUsers } = users;
  await users[Symbol.asyncDispose]();
  await send('alice@example.com', true);
  await program.waitForOutput(/destination not reachable/);
  const [entry] = JSON.parse(await node.sealpost('queue', 'list', '--json')).entries;
  assert.equal(entry.recipients[0].nextHop, `smtp://127.0.0.1:${portOfUsers}`);
  await program.stop();
  await using back = await SmtpSink.start({ port: portOfUsers });
  await node.start();
  await waitFor(() => back.messages.length === 1, { what: 'the mail of alice after the restart', timeout: 30_000 });
});

test('mail comes from the source of its route, and waits while the machine does not have it', async () => {
  await using sink = await SmtpSink.start();
  const via = `via: "smtp://127.0.0.1:${sink.port}"`;
  await using node = await SealpostNode.create({
    config: [
      'routes:',
      `  - { to: here.test, ${via}, source: 127.0.0.9, ehlo: nine.test }`,
      `  - { to: away.test, ${via}, source: 192.0.2.77 }`,
    ].join('\n'),
  });
  const program = await node.start();
  await send(node, 'b@here.test');
  await waitFor(() => sink.messages.length === 1, { what: 'the mail from 127.0.0.9' });
  const { remote, helo } = sink.messages[0]?.session ?? {};
  assert.deepEqual([remote?.split(':')[0], helo], ['127.0.0.9', 'nine.test']);
  await send(node, 'b@away.test');
  await program.waitForOutput(/this machine does not have the address 192\.0\.2\.77/);
  const [entry] = JSON.parse(await node.sealpost('queue', 'list', '--json')).entries;
  assert.equal(entry.recipients[0].status.state, 'deferred');
  assert.equal(entry.recipients[0].status.attempts, 0);
  assert.match(await node.sealpost('config', 'check'), /routes\[1\]\.source: this machine does not have the address/);
  assert.equal(sink.sessions.length, 1);
});
