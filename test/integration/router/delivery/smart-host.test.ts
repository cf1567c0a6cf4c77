import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

test('A6 a password of sealpost.yaml goes to the smart host whose authority the route names, and to no other', async () => {
  const authority = await createAuthority();
  const stranger = await createAuthority('Stranger');
  const extensions = ['AUTH PLAIN'];
  await using own = await SmtpSink.start({ tls: await authority.issue(), implicitTls: true, extensions });
  await using foreign = await SmtpSink.start({ tls: await stranger.issue(), extensions });
  await using node = await SealpostNode.create({
    config: [
      'routes:',
      `  - { to: own.test, via: "smtps://me@127.0.0.1:${own.port}", password: a password, ca: ./ca.pem }`,
      `  - { to: foreign.test, via: "smtp://me@127.0.0.1:${foreign.port}", password: a password, ca: ./ca.pem }`,
    ].join('\n'),
  });
  await writeFile(join(node.folder, 'ca.pem'), authority.ca);
  const program = await node.start();
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<a@client.test>', 250);
  for (const domain of ['own.test', 'foreign.test']) await client.say(`RCPT TO:<b@${domain}>`, 250);
  await client.say('DATA', 354);
  await client.say('Subject: x\r\n\r\nx\r\n.', 250);
  await waitFor(() => own.messages.length === 1, { what: 'the mail for the own smart host' });
  assert.deepEqual(own.messages[0]?.session.auth, { user: 'me', password: 'a password' });
  await program.waitForOutput(/454 4\.7\.5 the password of this route goes to a verified certificate only/);
  assert.ok(!foreign.sessions.some(({ auth }) => auth !== undefined));
  assert.equal(foreign.messages.length, 0);
});
