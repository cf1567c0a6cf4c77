import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A node between a host without TLS, of which every line is kept, Postfix with TLS, and the place where reports go. */

const CLEAR = '127.0.0.31';
const root = process.getuid?.() === 0 ? needs('smtp-sink') : { skip: 'needs port 25' };

async function started() {
  await using undo = new AsyncDisposableStack();
  const temp = undo.use(await tempDir('postfix'));
  const files = await writeCertificate(temp.path, { names: ['localhost'] });
  const postfix = `myhostname = mx.d.test
mydestination = d.test
local_recipient_maps =
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_data_restrictions = check_sender_access static:hold
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_cert_file = ${files.certificateFile}
smtpd_tls_key_file = ${files.keyFile}
`;
  undo.use(await startPostfix(temp.path, 25, postfix));
  const log = (): Promise<string> => readFile(join(temp.path, 'log'), 'utf8').catch(() => '');
  await waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix', timeout: 20_000 });
  const clear = undo.use(await SmtpSink.start({ host: CLEAR, port: 25 }));
  const reports = undo.use(await SmtpSink.start());
  const port = await freePort();
  const config = [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls, requiretls: true }]`,
    `tls: { certificate: ${files.certificateFile}, key: ${files.keyFile} }`,
    `delivery: { allow-local: [127.0.0.0/8], forced-tls: { subject: "[secure]" } }`,
    `routes: [{ to: example.com, via: "smtp://127.0.0.1:${reports.port}" }]`,
  ].join('\n');
  const node = undo.use(await SealpostNode.create({ port, config }));
  await node.start();
  const resources = undo.move();
  return { node, clear, reports, log, port, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

test('T6 forced mail and REQUIRETLS leave in TLS or not at all', { timeout: 180_000, ...root }, async (t) => {
  await using site = await started();
  const { node, clear, reports, log } = site;
  await using client = await Dialog.connect(site.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('STARTTLS', 220);
  await client.startTls();
  await client.say('EHLO client.test', 250);
  const send = async (to: string, subject: string, parameters = ''): Promise<string> => {
    await client.say(`MAIL FROM:<alice@example.com>${parameters}`, 250);
    await client.say(`RCPT TO:<b@[${to}]>`, 250);
    await client.say('DATA', 354);
    const { code, text } = await client.command(`From: alice@example.com\r\nSubject: ${subject}\r\n\r\nthe body\r\n.`);
    assert.equal(code, 250, text);
    return /Queued as (\S+)/.exec(text)?.[1] ?? '';
  };
  const report = async (n: number): Promise<string> =>
    (await waitFor(() => reports.messages[n], { what: 'the report', timeout: 30_000 })).data.toString();
  const heard = (): string[] => [
    ...new Set(clear.sessions.flatMap(({ lines }) => lines.map((line) => line.split(' ')[0] ?? ''))),
  ];

  await t.test('a mark in the subject, and a host without TLS: the sender hears why', async () => {
    const queueId = await send(CLEAR, 'plans [Secure]');
    const text = await report(0);
    assert.match(text, /550 5\.7\.10 TLS is required for this message, but/);
    assert.match(text, /It must be sent with TLS, because of its subject\./);
    assert.doesNotMatch(text, /plans|the body/);
    assert.deepEqual(
      heard().filter((verb) => verb !== 'QUIT'),
      ['EHLO'],
    );
    assert.match(await node.sealpost('queue', 'show', queueId), /asks for +TLS, because of its subject/);
  });

  await t.test('REQUIRETLS, and a host without TLS: the same', async () => {
    await send(CLEAR, 'plans', ' REQUIRETLS');
    const text = await report(1);
    assert.match(text, /550 5\.7\.10 a verified certificate is required for this message, but/);
    assert.match(text, /It must be sent with REQUIRETLS, because its sender asked for it\./);
    assert.doesNotMatch(text, /plans|the body/);
    assert.deepEqual(
      heard().filter((verb) => verb !== 'QUIT'),
      ['EHLO'],
    );
  });

  await t.test('other mail goes there in clear text', async () => {
    await send(CLEAR, 'nothing');
    await waitFor(() => clear.messages[0], { what: 'the mail', timeout: 30_000 });
  });

  await t.test('Postfix gets forced mail in TLS', async () => {
    await send('127.0.0.1', '[secure] plans');
    await waitFor(async () => /hold: /.test(await log()), { what: 'the mail at Postfix', timeout: 30_000 });
    assert.match(await log(), /TLS connection established from .*TLSv1\.3/);
  });
});
