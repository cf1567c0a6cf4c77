import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** One node with the three ports of a mail server, as clients from outside, users and a printer meet them. */

const PRINTER = '127.0.0.9';
const LOGIN = `AUTH PLAIN ${Buffer.from('\0alice\0right').toString('base64')}`;

async function started() {
  await using undo = new AsyncDisposableStack();
  const temp = undo.use(await tempDir('submission'));
  const { certificateFile, keyFile } = await writeCertificate(temp.path, { names: ['localhost'] });
  const users = join(temp.path, 'users.yaml');
  await addUser(users, { name: 'alice', password: new Secret('right'), addresses: ['alice@example.com'] });
  const sink = undo.use(await SmtpSink.start());
  const [relay = 0, submission = 0, submissions = 0] = await freePorts(3);
  const config = [
    'relay: { allow: { hosts: [] } }',
    'domains: [{ name: example.com, local: true }]',
    `directory: { users: ${users} }`,
    `authentication: { anonymous: [${PRINTER}], delay: 0s }`,
    `tls: { certificate: ${certificateFile}, key: ${keyFile} }`,
    'listeners:',
    `  - { name: mx, kind: relay, address: 127.0.0.1, port: ${relay}, tls: starttls }`,
    `  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: starttls-required }`,
    `  - { name: submissions, kind: submission, address: 127.0.0.1, port: ${submissions}, tls: implicit }`,
  ].join('\n');
  const node = undo.use(await SealpostNode.create({ port: relay, sink: sink.port, config }));
  await node.start();
  const resources = undo.move();
  const ports = { relay, submission, submissions };
  return { node, sink, ports, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

type Site = Awaited<ReturnType<typeof started>>;

/** A session in which EHLO was said, with what that offered; under TLS where the port is one of submission. */
async function greeted({ ports }: Site, port: keyof Site['ports'], localAddress = '127.0.0.1') {
  const client = await Dialog.connect(ports[port], { implicitTls: port === 'submissions', localAddress });
  await client.expect(220);
  let { lines } = await client.say('EHLO client.test', 250);
  if (port === 'submission') {
    await client.say('STARTTLS', 220);
    await client.startTls();
    ({ lines } = await client.say('EHLO client.test', 250));
  }
  return { client, offers: lines, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}

/** Send a message in a transaction; resolves to the code of the reply to its end. */
async function send(client: Dialog, from: string, to: string, message: string): Promise<number> {
  await client.say(`MAIL FROM:<${from}>`, 250);
  await client.say(`RCPT TO:<${to}>`, 250);
  await client.say('DATA', 354);
  return (await client.command(`${message}\r\n.`)).code;
}

test('ports for relay and for submission have rules of their own', { timeout: 120_000 }, async (t) => {
  await using site = await started();
  const { sink } = site;

  await t.test('A7 port 25 takes mail for us from anybody, knows no AUTH and relays for nobody', async () => {
    await using session = await greeted(site, 'relay');
    const { client, offers } = session;
    assert.deepEqual(
      offers.filter((line) => line.startsWith('AUTH')),
      [],
    );
    await client.say(LOGIN, 502);
    await client.say('MAIL FROM:<any@far.test>', 250);
    await client.say('RCPT TO:<other@elsewhere.test>', 554, 'Relay rejected for policy reasons');
    await client.say('RSET', 250);
    assert.equal(
      await send(client, 'any@far.test', 'alice@example.com', 'From: any@far.test\r\nSubject: as it is\r\n\r\nhello'),
      250,
    );
    const header = await arrived(sink, 1);
    assert.match(header, /^Received: [\s\S]*? with ESMTP\b/m);
    assert.doesNotMatch(header, /^(Date|Message-ID):/im, 'relayed mail stays as it is');
  });

  for (const [i, port] of (['submission', 'submissions'] as const).entries()) {
    const name = port === 'submission' ? '587 (STARTTLS)' : '465 (TLS from the first byte)';
    await t.test(`A7 port ${name} takes mail from users alone, to anywhere, and completes it`, async () => {
      await using session = await greeted(site, port);
      const { client, offers } = session;
      assert.ok(
        offers.some((line) => line.startsWith('AUTH PLAIN LOGIN')),
        offers.join(),
      );
      await client.say('MAIL FROM:<alice@example.com>', 530, 'Authentication required');
      await client.say(LOGIN, 235);
      await client.say('MAIL FROM:<any@far.test>', 553, /any@far\.test .*alice.* alice@example\.com/);
      assert.equal(await send(client, 'alice@example.com', 'x@elsewhere.test', 'Subject: no author\r\n\r\nhello'), 550);
      const message = 'From: alice@example.com\r\nSubject: hers\r\n\r\nhello';
      assert.equal(await send(client, 'alice@example.com', 'x@elsewhere.test', message), 250);
      const header = await arrived(sink, i + 2);
      assert.match(header, /^Received: [\s\S]*? with ESMTPSA\b/m);
      assert.match(header, /^Date: /m);
      assert.match(header, /^Message-ID: /m);
    });
  }

  await t.test('A2 port 587 neither offers nor knows AUTH before TLS', async () => {
    await using client = await Dialog.connect(site.ports.submission);
    await client.expect(220);
    const { lines } = await client.say('EHLO client.test', 250);
    assert.deepEqual(
      lines.filter((line) => line.startsWith('AUTH')),
      [],
    );
    await client.say(LOGIN, 530, 'STARTTLS');
    await client.say('MAIL FROM:<alice@example.com>', 530, 'STARTTLS');
  });

  await t.test('A4 the author of each message is an address of the user, and the refusal names both', async () => {
    await using session = await greeted(site, 'submissions');
    const { client } = session;
    await client.say(LOGIN, 235);
    const both = 'From: alice@example.com, boss@example.com\r\n\r\nhello';
    assert.equal(await send(client, 'alice@example.com', 'x@elsewhere.test', both), 550);
    await waitFor(() => /boss@example\.com is not permitted for user alice.*alice@example\.com/.test(log(site)), {
      what: 'both addresses in the log',
    });
  });

  await t.test('A5 a listed host sends without a log-in, and relays no more for it; others do not', async () => {
    for (const port of ['submission', 'submissions'] as const) {
      await using printer = await greeted(site, port, PRINTER);
      await printer.client.say('MAIL FROM:<printer@example.com>', 250);
      await printer.client.say('RCPT TO:<x@elsewhere.test>', 554, 'Relay rejected for policy reasons');
      await printer.client.say('RCPT TO:<alice@example.com>', 250);
      await using other = await greeted(site, port, '127.0.0.10');
      await other.client.say('MAIL FROM:<printer@example.com>', 530);
    }
  });

  await t.test('A3 the log says who authenticated, who failed and why, and from where', async () => {
    await using session = await greeted(site, 'submissions');
    await session.client.say(`AUTH PLAIN ${Buffer.from('\0mallory\0wrong').toString('base64')}`, 535);
    const events = () =>
      log(site)
        .split('\n')
        .filter((line) => line.includes('"Authentication '));
    await waitFor(() => events().some((line) => line.includes('mallory')), { what: 'the failure in the log' });
    const fields = events().map((line) => JSON.parse(line) as Record<string, unknown>);
    const [succeeded, failed] = [fields.at(0), fields.at(-1)];
    assert.deepEqual(
      [succeeded?.['msg'], succeeded?.['user'], succeeded?.['peer'], succeeded?.['host']],
      ['Authentication succeeded', 'alice', '127.0.0.1', 'localhost'],
    );
    assert.deepEqual(
      [failed?.['msg'], failed?.['user'], failed?.['peer'], failed?.['reason']],
      ['Authentication failed', 'mallory', '127.0.0.1', 'unknown user'],
    );
    assert.equal(fields.length, 4, 'one line for each');
  });

  await t.test('locks of a node without a bus are listed and lifted', async () => {
    const { node } = site;
    for (let i = 0; i < 10; i++) {
      await using session = await greeted(site, 'submissions');
      await session.client.say(`AUTH PLAIN ${Buffer.from('\0mallory\0wrong').toString('base64')}`, i === 9 ? 454 : 535);
    }
    assert.match(await node.sealpost('locks', 'list'), /^mallory +127\.0\.0\.0\/24 +10 +10\/15m .* all$/m);
    assert.match(await node.sealpost('locks', 'lift', '--user', 'mallory'), /^lifted 1 on edge-1$/m);
    assert.equal(await node.sealpost('locks', 'list'), 'no locks\n');
  });
});

function log({ node }: Site): string {
  return node.programs.get('all')?.output ?? '';
}

/** Wait for so many messages; the header of the last one. */
async function arrived(sink: SmtpSink, count: number): Promise<string> {
  await waitFor(() => sink.messages.length >= count, { what: `message ${count} at the sink`, timeout: 20_000 });
  return sink.messages.at(-1)?.data.toString('latin1').split('\r\n\r\n', 1)[0] ?? '';
}
