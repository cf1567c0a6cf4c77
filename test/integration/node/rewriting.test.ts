import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type SinkMessage, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Rewriting through a real node: what clients say, what arrives, and whether its signature holds. */

const CONFIG = (port: number, far: number) =>
  [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
    'relay: { allow: { hosts: [10.0.0.0/8] } }',
    'domains: [{ name: example.com, local: true, keys: { proof: none } }]',
    'directory: { users: users.yaml }',
    `routes: [{ to: "*", via: "smtp://127.0.0.1:${far}" }]`,
    'rewrite:',
    '  canonical:',
    '    - map: { alice@example.com: a.liddell@example.com, jdoe: john@example.com, "@old.example": "@example.com" }',
    '  domain-aliases: { alias.example: example.com }',
    '  reverse-path: from',
  ].join('\n');

async function send(dialog: Dialog, from: string, to: string, text: string): Promise<void> {
  await dialog.say(`MAIL FROM:<${from}>`, 250);
  await dialog.say(`RCPT TO:<${to}>`, 250);
  await dialog.say('DATA', 354);
  await dialog.say(`${text}\r\n.`, 250);
}

test('SMTPTranslateAddresses: a user’s mail leaves with rewritten addresses under a valid signature, and A4 holds', {
  ...needs('dkimverify'),
  timeout: 60_000,
}, async (t) => {
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) =>
      verb === 'RCPT' && address === 'gone@far.test' ? '550 5.1.1 no such user' : undefined,
  });
  const port = await freePort();
  await using node = await SealpostNode.create({ port, config: CONFIG(port, sink.port) });
  const users = join(node.folder, 'users.yaml');
  await addUser(users, { name: 'alice', password: new Secret('secret'), addresses: ['alice@example.com'] });
  await addUser(users, { name: 'john', password: new Secret('other'), addresses: ['john@example.com'] });
  await appendFile(users, 'aliases: { a.liddell@example.com: [alice@example.com] }\n');
  await node.start();
  await node.createKey('example.com', 's1', 'ed25519');
  await using dialog = await Dialog.connect(port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  const arrived = (n: number): Promise<SinkMessage> =>
    waitFor(() => sink.messages[n - 1], { what: `message ${n}`, timeout: 20_000 });

  await t.test('recipients of a domain alias and of maps; what an address becomes is not looked up again', async () => {
    await send(dialog, 'x@far.test', 'Alice+tag@alias.example', 'From: x@far.test\r\nTo: alice@example.com\r\n\r\nhi');
    const first = await arrived(1);
    assert.deepEqual(first.recipients[0]?.address, 'alice+tag@example.com');
    assert.equal(first.from.address, 'x@far.test');
    assert.match(first.data.toString(), /^To: alice@example\.com\r$/m, 'the header of a stranger stays');
    await send(dialog, 'x@far.test', 'john@old.example', 'From: x@far.test\r\n\r\nhi');
    assert.equal((await arrived(2)).recipients[0]?.address, 'john@example.com');
    await send(dialog, 'x@far.test', 'jdoe@example.com', 'From: x@far.test\r\n\r\nhi');
    assert.equal((await arrived(3)).recipients[0]?.address, 'john@example.com');
    await dialog.say('MAIL FROM:<x@far.test>', 250);
    await dialog.say('RCPT TO:<jdoe@old.example>', 550, /No such user/);
    await dialog.say('RCPT TO:<x@sub.alias.example>', 554);
    await dialog.say('RSET', 250);
  });

  await t.test('the header, the reverse-path and the signature of a user’s mail', async () => {
    await dialog.say(`AUTH PLAIN ${Buffer.from('\0alice\0secret').toString('base64')}`, 235);
    const before = sink.messages.length;
    const head = 'From: Alice <alice@example.com>\r\nTo: "J. D." <jdoe@example.com>\r\nSubject: hello';
    await send(dialog, 'alice@example.com', 'partner@far.test', `${head}\r\n\r\n.. body with bob@old.example`);
    const message = await arrived(before + 1);
    const text = message.data.toString();
    assert.equal(message.from.address, 'a.liddell@example.com');
    assert.match(
      text,
      /^From: Alice <a\.liddell@example\.com>\r\nTo: "J\. D\." <john@example\.com>\r\nSubject: hello\r$/m,
    );
    assert.ok(!text.includes('alice@'), text);
    assert.ok(text.endsWith('\r\n\r\n. body with bob@old.example\r\n'), 'the body is as it was sent');
    const file = join(node.folder, 'arrived.eml');
    await writeFile(file, message.data);
    const value = await node.sealpost('keys', 'export-dns', 'example.com', 's1', '--value');
    assert.deepEqual(await verifyWithDkimpy([file], { 's1._domainkey.example.com': value.trim() }), [['pass']]);
  });

  await t.test('our own notice goes to the mailbox behind the rewritten address', async () => {
    await send(dialog, 'alice@example.com', 'gone@far.test', 'From: alice@example.com\r\n\r\nhi');
    const notice = await waitFor(() => sink.messages.find((m) => m.from.address === ''), { what: 'the notice' });
    assert.deepEqual(
      notice.recipients.map((r) => r.address),
      ['alice@example.com'],
    );
  });

  await t.test('A4 the author must be the user’s before or after rewriting', async () => {
    await dialog.say('MAIL FROM:<jdoe@example.com>', 553);
    await dialog.say('MAIL FROM:<alice@old.example>', 250);
    await dialog.say('RCPT TO:<partner@far.test>', 250);
    await dialog.say('DATA', 354);
    await dialog.say('From: jdoe@example.com\r\n\r\nhi\r\n.', 550);
  });
});
