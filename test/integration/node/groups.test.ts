import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { client } from '#cluster/actor.ts';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Groups and maps of the cluster's directory, through a real node: outsiders come from 127.0.0.1, and 127.0.0.2 is
 * internal.
 */

const MEMBERS = Array.from({ length: 999 }, (_, i) => `member-${i}@elsewhere.test`);

async function session(port: number, from: string, localAddress = '127.0.0.1'): Promise<Dialog> {
  const dialog = await Dialog.connect(port, { localAddress });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say(`MAIL FROM:<${from}>`, 250);
  return dialog;
}

async function data(dialog: Dialog, text: string): Promise<void> {
  await dialog.say('DATA', 354);
  await dialog.say(`${text}\r\n.`, 250);
}

test('groups: 1,000 members in one RCPT, bounces to the owner, outsiders refused', { timeout: 120_000 }, async (t) => {
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) =>
      verb === 'RCPT' && address === 'member-7@elsewhere.test' ? '550 5.1.1 gone' : undefined,
  });
  const port = await freePort();
  const settings = (mode: string) => [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }]`,
    'relay: { internal: { hosts: [127.0.0.2] }, scope: external }',
    'domains: [{ name: example.com, local: true }]',
    `routes: [{ to: "*", via: "smtp://127.0.0.1:${sink.port}" }]`,
    `directory: { mail-to-groups: ${mode} }`,
    'rewrite: { canonical: [{ directory: people, of: [header-sender, envelope-recipient] }] }',
  ];
  await using node = await SealpostNode.create({ port, config: settings('refuse-outsiders').join('\n') });
  await node.start();
  const store = client(new ControlClient(join(node.folder, 'data')), credentialStoreContract);
  const at = (name: string) => `${name}@example.com`;
  await store['alias-set']({ address: at('bob'), targets: { set: ['bob@mailbox.test'] }, create: true });
  await store['alias-set']({ address: at('owner-staff'), targets: { set: [at('bob')] }, create: true });
  await store['map-set']({ name: 'people', entries: { [at('jd')]: at('bob'), 'scan@host1.test': at('bob') } });
  await store['group-set']({
    name: 'staff',
    addresses: { set: [at('staff')] },
    members: { set: [...MEMBERS, 'member-1@elsewhere.test', at('bob')] },
    create: true,
  });
  await waitFor(
    async () => {
      await using dialog = await session(port, 'x@far.test', '127.0.0.2');
      return (await dialog.command('RCPT TO:<staff@example.com>')).code === 250;
    },
    { what: 'policy to know the group', timeout: 20_000 },
  );

  await t.test('SMTPDenyMailToGroups 1: an outsider is refused, and reaches an alias all the same', async () => {
    await using dialog = await session(port, 'x@far.test');
    await dialog.say('RCPT TO:<staff@example.com>', 550, /^5\.7\.2 /);
    await dialog.say('RCPT TO:<bob@example.com>', 250);
  });

  await t.test('a map of the directory rewrites a recipient, and the author of a trusted host', async () => {
    const before = sink.messages.length;
    await using dialog = await session(port, 'scan@host1.test', '127.0.0.2');
    await dialog.say('RCPT TO:<jd@example.com>', 250);
    await data(dialog, 'From: Scanner <scan@host1.test>\r\nTo: jd@example.com\r\n\r\nscan');
    const message = await waitFor(() => sink.messages[before], { what: 'the message' });
    assert.deepEqual(
      message.recipients.map((r) => r.address),
      ['bob@mailbox.test'],
    );
    assert.match(message.data.toString(), /^From: Scanner <bob@example\.com>\r\nTo: jd@example\.com\r$/m);
  });

  await t.test('every member gets one copy, from the owner, who hears of the one that is gone', async () => {
    const before = sink.messages.length;
    const start = performance.now();
    await using dialog = await session(port, 'x@far.test', '127.0.0.2');
    await dialog.say('RCPT TO:<staff@example.com>', 250);
    assert.ok(performance.now() - start < 2000, 'the reply to RCPT took too long');
    await data(dialog, 'From: x@far.test\r\nSubject: to all\r\n\r\nhello');
    const copies = () => sink.messages.slice(before).filter((m) => m.recipients.length > 0 && m.from.address !== '');
    const recipients = () => copies().flatMap((m) => m.recipients.map((r) => r.address));
    await waitFor(() => recipients().length >= 999, { what: '999 copies', timeout: 60_000 });
    assert.deepEqual(
      recipients().sort(),
      [...MEMBERS.filter((m) => m !== 'member-7@elsewhere.test'), 'bob@mailbox.test'].sort(),
    );
    assert.deepEqual([...new Set(copies().map((m) => m.from.address))], ['owner-staff@example.com']);
    const notice = await waitFor(() => sink.messages.slice(before).find((m) => m.from.address === ''), {
      what: 'the notice',
    });
    assert.deepEqual(
      notice.recipients.map((r) => r.address),
      ['bob@mailbox.test'],
    );
    assert.match(notice.data.toString(), /Final-Recipient: rfc822; member-7@elsewhere\.test/);
  });

  await t.test('a bounce from elsewhere reaches the owner', async () => {
    const before = sink.messages.length;
    await using dialog = await session(port, '');
    await dialog.say('RCPT TO:<owner-staff@example.com>', 250);
    await data(dialog, 'From: mailer@elsewhere.test\r\n\r\nbounce');
    const message = await waitFor(() => sink.messages[before], { what: 'the bounce' });
    assert.deepEqual(
      message.recipients.map((r) => r.address),
      ['bob@mailbox.test'],
    );
  });
});
