import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Runs swaks; resolves to its exit code and transcript. */
function swaks(...args: string[]): Promise<{ code: number; transcript: string }> {
  return new Promise((resolve) => {
    execFile(locate('swaks') ?? 'swaks', args, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, transcript: stdout + stderr });
    });
  });
}

test(
  'nobody relays who is not listed, on any listener',
  needs('swaks', '/usr/share/doc/libnet-ssleay-perl'),
  async (t) => {
    await using temp = await tempDir('tls');
    const { certificateFile, keyFile } = await writeCertificate(temp.path, { names: ['localhost'] });
    const [relay, plain, submission, implicit] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const users = join(temp.path, 'users.yaml');
    await addUser(users, { name: 'alice', password: new Secret('a password'), addresses: ['alice@example.com'] });
    await using sink = await SmtpSink.start();
    await using node = await SealpostNode.create({
      port: relay,
      sink: sink.port,
      config: [
        'relay: { allow: { hosts: [10.0.0.0/8] } }',
        'domains: [{ name: example.com, local: true }]',
        `directory: { users: ${users} }`,
        `tls: { certificate: ${certificateFile}, key: ${keyFile} }`,
        'listeners:',
        `  - { name: mx, kind: relay, address: 127.0.0.1, port: ${relay}, tls: starttls }`,
        `  - { name: plain, kind: relay, address: 127.0.0.1, port: ${plain}, tls: none }`,
        `  - { name: submission, kind: submission, address: 127.0.0.1, port: ${submission}, tls: starttls-required }`,
        `  - { name: submissions, kind: submission, address: 127.0.0.1, port: ${implicit}, tls: implicit }`,
      ].join('\n'),
    });
    await node.start();
    const outside = ['--from', 'someone@outside.test', '--to', 'other@elsewhere.test', '--server', '127.0.0.1'];

    for (const [name, port, tls] of [
      ['mx', relay, []],
      ['mx under TLS', relay, ['--tls']],
      ['plain', plain, []],
    ] as const) {
      await t.test(`${name}: 554 5.7.1 at RCPT`, async () => {
        const { code, transcript } = await swaks(...outside, '--port', String(port), ...tls);
        assert.match(transcript, /^<[~*]{2} 554 5\.7\.1 Relay rejected for policy reasons/m);
        assert.equal(code, 24, 'swaks: error at RCPT');
      });
    }
    for (const [name, port, tls] of [
      ['submission', submission, ['--tls']],
      ['submissions', implicit, ['--tls-on-connect']],
    ] as const) {
      await t.test(`${name}: nothing without AUTH`, async () => {
        const { code, transcript } = await swaks(...outside, '--port', String(port), ...tls);
        assert.match(transcript, /^<[~*]{2} 530 5\.7\.0 /m);
        assert.notEqual(code, 0);
      });
    }

    await t.test('tricks in the local part do not open it', async () => {
      await using client = await Dialog.connect(relay);
      await client.expect(220);
      await client.say('EHLO client.test', 250);
      await client.say('MAIL FROM:<someone@outside.test>', 250);
      for (const path of [
        '<other%elsewhere.test@example.com>',
        '<elsewhere.test!other@example.com>',
        '<"other@elsewhere.test"@example.com>',
        '<@example.com:other@elsewhere.test>',
        '<other@elsewhere.test@example.com>',
        '<other@[127.0.0.1]>',
        '<other@notexample.com>',
        '<other@sub.example.com>',
      ]) {
        const reply = await client.command(`RCPT TO:${path}`);
        assert.ok(reply.code >= 500, `${path}: ${reply.code} ${reply.text}`);
      }
      await client.say('RCPT TO:<postmaster@example.com>', 250);
    });
    assert.equal(sink.messages.length, 0);
  },
);
