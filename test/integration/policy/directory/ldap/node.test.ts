import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { ADMIN, ADMIN_PASSWORD, BASE, dnOf, FOLDERS, group, person, Slapd } from '#test/kit/ldap/slapd.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A node whose users are in a slapd, and one more in a users file, as clients and operators meet it. */

const LDIF =
  FOLDERS +
  person({ uid: 'alice', password: 'right' }) +
  person({ uid: 'bob' }) +
  `${group('team', [dnOf('alice'), dnOf('bob')]).trimEnd()}\n\n` +
  `dn: cn=others,ou=groups,${BASE}\nobjectClass: nisMailAlias\nobjectClass: inetLocalMailRecipient\ncn: others\nmailLocalAddress: others@example.com\nrfc822MailMember: bob@example.org\n\n`;

async function session(port: number, logIn?: string): Promise<Dialog> {
  const dialog = await Dialog.connect(port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  if (logIn !== undefined) await dialog.say(`AUTH PLAIN ${Buffer.from(logIn).toString('base64')}`, 235);
  return dialog;
}

async function rcpt(port: number, address: string): Promise<string> {
  await using dialog = await session(port);
  await dialog.say('MAIL FROM:<x@outside.test>', 250);
  return (await dialog.command(`RCPT TO:<${address}>`)).text;
}

const OPTIONS = { ...needs('slapd', 'slapadd'), timeout: 120_000 };

test('a node with its users in LDAP', OPTIONS, async (t) => {
  await using slapd = await Slapd.start({ ldif: LDIF });
  await using sink = await SmtpSink.start();
  await using dir = await tempDir();
  const users = join(dir.path, 'users.yaml');
  await addUser(users, { name: 'carol', password: new Secret('c'), addresses: ['carol@example.com'] });
  const port = await freePort();
  const config = [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
    'relay: { allow: { hosts: [] } }',
    'domains: [{ name: example.com, local: true, keys: { proof: none } }]',
    'rewrite: { domain-aliases: { example.org: example.com } }',
    `directory:\n  users: ${users}\n  ldap: { urls: ["${slapd.url}"], starttls: false, base: "${BASE}", preset: openldap, bind-dn: "${ADMIN}", password: ${ADMIN_PASSWORD}, timeout: 2s, cache: { found: 0s, missing: 0s } }`,
  ].join('\n');
  await using node = await SealpostNode.create({ port, sink: sink.port, config });
  await node.start();
  const explain = (to: string) =>
    node.sealpost('explain', '--client', '192.0.2.1', '--from', 'x@outside.test', '--to', to, '--listener', 'mx');

  await t.test('takes mail for a group, and sends it to its members', async () => {
    await using dialog = await session(port);
    await dialog.say('MAIL FROM:<x@outside.test>', 250);
    await dialog.say('RCPT TO:<team@example.com>', 250);
    await dialog.say('DATA', 354);
    await dialog.say('From: x@outside.test\r\nSubject: hello\r\n\r\nhello\r\n.', 250);
    const recipients = () =>
      sink.messages.flatMap((message) => message.recipients.map(({ address }) => address)).sort();
    await waitFor(() => recipients().length >= 2, { what: 'mail for both members', timeout: 20_000 });
    assert.deepEqual(recipients(), ['alice@example.com', 'bob@example.com']);
  });

  await t.test('knows members by another name of the domain', async () => {
    assert.match(await rcpt(port, 'others@example.com'), /^2\.1\.5/);
    assert.match(await rcpt(port, 'alice@example.org'), /^2\.1\.5/);
  });

  await t.test('logs a user in, who may relay as the address of the entry', async () => {
    await using dialog = await session(port, '\0alice\0right');
    await dialog.say('MAIL FROM:<bob@example.com>', 553);
    await dialog.say('MAIL FROM:<alice@example.com>', 250);
    await dialog.say('RCPT TO:<somebody@far.test>', 250);
  });

  await t.test('explains which entry an address has, or that there is none', async () => {
    assert.match(await explain('alice@example.com'), /LDAP has alice@example\.com: uid=alice,ou=people/);
    assert.match(await explain('nobody@example.com').catch(outputOf), /LDAP has no entry for nobody@example\.com/);
  });

  await t.test('defers what only LDAP knows while that is away, and says so', async () => {
    await slapd.stop();
    assert.match(await rcpt(port, 'alice@example.com'), /^4\.3\.0/);
    assert.match(await rcpt(port, 'nobody@example.com'), /^4\.3\.0/);
    assert.match(await rcpt(port, 'carol@example.com'), /^2\.1\.5/, 'a user of the file needs no LDAP');
    await using dialog = await session(port, '\0carol\0c');
    const auth = `AUTH PLAIN ${Buffer.from('\0alice\0right').toString('base64')}`;
    await using other = await session(port);
    await other.say(auth, 454);
    await dialog.say('MAIL FROM:<carol@example.com>', 250);
    assert.match(await explain('alice@example.com').catch(outputOf), /directory cannot be read \(LDAP: .*ECONNREFUSED/);
    assert.match(await node.report('doctor'), /can ask no LDAP server .*ECONNREFUSED/);
  });

  await t.test('goes on when it is back', async () => {
    await slapd.restart();
    await waitFor(async () => (await rcpt(port, 'alice@example.com')).startsWith('2.1.5'), {
      what: 'LDAP to be asked again',
      timeout: 20_000,
    });
    assert.match(await rcpt(port, 'nobody@example.com'), /^5\.1\.1/);
    assert.doesNotMatch(await node.report('doctor'), /LDAP/);
  });
});

/** What a command that failed has printed. */
const outputOf = (error: unknown): string => (error as { stdout: string }).stdout;
