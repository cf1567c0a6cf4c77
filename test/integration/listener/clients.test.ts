import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { startListener } from '#test/unit/listener/harness.ts';

/** Third-party SMTP clients, against a listener with a policy and a router in memory. */

async function swaks(port: number, ...args: string[]): Promise<string> {
  const common = ['--server', '127.0.0.1', '--port', String(port), '--ehlo', 'client.test', '--timeout', '10'];
  await using program = new Program('swaks', [...common, '--from', 'a@example.com', '--to', 'b@dest.test', ...args]);
  assert.equal(await program.ended(), 0, program.output);
  return program.output;
}

async function withTls(listener: Record<string, unknown>) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const files = await writeCertificate(dir.path, { names: ['mx.test'] });
  const config = { tls: { certificate: files.certificateFile, key: files.keyFile } };
  const server = stack.use(await startListener({ listener, config }));
  return { server, files, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** What swaks does TLS with. */
const PERL_TLS = '/usr/share/doc/libnet-ssleay-perl';
const LOGIN = ['--auth-user', 'alice', '--auth-password', 'secret'];

test('swaks: a plain message, its dots as they were', needs('swaks'), async () => {
  await using server = await startListener();
  await swaks(server.port, '--h-Subject', 'dots', '--body', '.first\n..second\n.\nlast');
  assert.match(server.router.messages[0]?.text ?? '', /\r\n\r\n\.first\r\n\.\.second\r\n\.\r\nlast\r\n/);
});

test('swaks: pipelined, to several recipients', needs('swaks'), async () => {
  await using server = await startListener();
  await swaks(server.port, '--pipeline', '--to', 'b@dest.test,c@dest.test,b@dest.test');
  assert.deepEqual(
    server.router.messages[0]?.envelope.recipients.map((r) => r.address),
    ['b@dest.test', 'c@dest.test'],
  );
});

for (const mechanism of ['PLAIN', 'LOGIN']) {
  test(`swaks: submission with STARTTLS and AUTH ${mechanism}`, needs('swaks', PERL_TLS), async () => {
    await using given = await withTls({ kind: 'submission', tls: 'starttls-required' });
    await swaks(given.server.port, '-tls', '--auth', mechanism, ...LOGIN);
    const origin = given.server.router.messages[0]?.origin;
    assert.equal(origin?.user, 'alice');
    assert.match(origin?.tls?.protocol ?? '', /^TLSv1\.[23]$/);
  });
}

test('swaks: submission with implicit TLS, certificate verified', needs('swaks', PERL_TLS), async () => {
  await using given = await withTls({ kind: 'submission', tls: 'implicit' });
  const verify = ['--tls-verify', '--tls-ca-path', given.files.caFile];
  await swaks(given.server.port, '--tls-on-connect', '--auth', 'PLAIN', ...LOGIN, ...verify);
  assert.equal(given.server.router.messages[0]?.origin.user, 'alice');
});

test('swaks: PROXY protocol', needs('swaks'), async () => {
  await using server = await startListener({ listener: { proxy: ['127.0.0.1'] } });
  const proxy = ['--proxy-version', '1', '--proxy-family', 'TCP4', '--proxy-source', '192.0.2.9'];
  const rest = ['--proxy-source-port', '40000', '--proxy-dest', '192.0.2.1', '--proxy-dest-port', '25'];
  await swaks(server.port, ...proxy, ...rest);
  assert.equal(server.router.messages[0]?.origin.client.address, '192.0.2.9');
});

test(
  'smtp-source: many messages over many sessions, every one arrives once and whole',
  needs('smtp-source'),
  async () => {
    await using server = await startListener();
    const load = ['-s', '20', '-m', '1000', '-d', '-l', '10240'];
    const path = ['-f', 'a@example.com', '-t', 'b@dest.test', `127.0.0.1:${server.port}`];
    await using program = new Program('smtp-source', [...load, ...path]);
    assert.equal(await program.ended(), 0, program.output);
    assert.equal(server.router.messages.length, 1000);
    assert.equal(new Set(server.router.messages.map((m) => m.queueId)).size, 1000);
    for (const { facts, text } of server.router.messages) assert.equal(facts.size, text.length);
    assert.equal(server.router.open, 0);
  },
);

test('smtp-source: large messages in parallel', needs('smtp-source'), async () => {
  await using server = await startListener();
  const load = ['-s', '10', '-m', '10', '-l', String(5 << 20)];
  const path = ['-f', 'a@example.com', '-t', 'b@dest.test', `127.0.0.1:${server.port}`];
  await using program = new Program('smtp-source', [...load, ...path]);
  assert.equal(await program.ended(), 0, program.output);
  assert.equal(server.router.messages.length, 10);
  for (const { text } of server.router.messages) assert.ok(text.length >= 5 << 20);
});
