import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Whose mail a user may send, and for which domain it is signed. */

/** The header that alice sends, and the code of the reply or the domain that signs; '' where nothing does. */
const TABLE: [header: string, expected: number | string, why: string][] = [
  ['From: alice@example.com', 'example.com', 'her own'],
  ['From: boss@other.test\r\nSender: alice@example.com', 550, 'another hosted domain behind her own Sender'],
  ['From: boss@other.test', 550, 'another hosted domain'],
  ['From: alice@example.com <boss@other.test>', 550, 'her own address as the name of another'],
  ['From: alice@example.com, boss@other.test', 550, 'another beside her'],
  ['From: ceo@other.test\r\nSender: alice@example.com', 'other.test', 'on behalf of somebody that the file names'],
  ['From: ceo@other.test', 550, 'on behalf of somebody, and Sender does not say so'],
  ['From: boss@other.test\r\nResent-From: alice@example.com', '', 'resent: hers to send, not to sign'],
  ['From: alice@example.com <alice@example.com>', 'example.com', 'her own twice'],
  [
    'From alice Sat Nov 28 10:00:00 2026\r\nFrom: alice@example.com',
    'example.com',
    'the line of a mailbox file before',
  ],
  ['no field\r\nFrom: alice@example.com', 550, 'a first line that begins the body for some readers'],
  ['From: Lice, Alice <alice@example.com>', 'example.com', 'a comma in the name'],
  ['From: Alice [Help] <alice@example.com>', 'example.com', 'brackets in the name'],
];

test('a user is signed for nobody else, and for every From that readers see as the user', async (t) => {
  await using sink = await SmtpSink.start();
  const port = await freePort();
  await using node = await SealpostNode.create({
    port,
    sink: sink.port,
    config: [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
      'domains: [{ name: example.com, keys: { proof: none } }, { name: other.test, keys: { proof: none } }]',
      'directory: { users: users.yaml }',
    ].join('\n'),
  });
  const users = join(node.folder, 'users.yaml');
  await addUser(users, { name: 'alice', password: new Secret('secret'), addresses: ['alice@example.com'] });
  await appendFile(users, '    on-behalf-of: [ceo@other.test]\n');
  await node.start();
  for (const domain of ['example.com', 'other.test']) await node.createKey(domain, 's1', 'ed25519');
  await using dialog = await Dialog.connect(port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say(`AUTH PLAIN ${Buffer.from('\0alice\0secret').toString('base64')}`, 235);
  for (const [header, expected, why] of TABLE) {
    await t.test(why, async () => {
      const before = sink.messages.length;
      await dialog.say('MAIL FROM:<alice@example.com>', 250);
      await dialog.say('RCPT TO:<rcpt@dest.test>', 250);
      await dialog.say('DATA', 354);
      await dialog.say(`${header}\r\n\r\nhello\r\n.`, typeof expected === 'number' ? expected : 250);
      if (typeof expected === 'number') return;
      await waitFor(() => sink.messages.length > before, { what: 'the message' });
      const text = sink.messages.at(-1)?.data.toString('latin1') ?? '';
      assert.equal(/^DKIM-Signature:[\s\S]*?\bd=([^;]+);/m.exec(text)?.[1] ?? '', expected, text);
    });
  }
});
