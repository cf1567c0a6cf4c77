import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, TLSSocket } from 'node:tls';
import { type Certificate, createAuthority, writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

const PLAIN = `AUTH PLAIN ${Buffer.from('\0alice\0secret').toString('base64')}`;

/** A folder with a certificate for mx.test, and a listener that uses it. */
async function withTls(listener: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const files = await writeCertificate(dir.path, { names: ['mx.test'] });
  const tls = { certificate: files.certificateFile, key: files.keyFile, ...more };
  const server = stack.use(await startListener({ listener, config: { tls } }));
  const options = { ca: files.ca, servername: 'mx.test' };
  return { server, files, options, dir: dir.path, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function subject(client: Dialogue): string {
  assert.ok(client.socket instanceof TLSSocket);
  return client.socket.getPeerX509Certificate()?.subject ?? '';
}

/** What AUTH answers before and under TLS, where STARTTLS is offered; offered is what answers 235. */
const AUTH: [kind: string, auth: string | undefined, clear: number, tls: number][] = [
  ['relay', undefined, 502, 502],
  ['relay', 'off', 502, 502],
  ['relay', 'tls', 530, 235],
  ['relay', 'always', 235, 235],
  ['submission', undefined, 530, 235],
  ['submission', 'tls', 530, 235],
  ['submission', 'always', 235, 235],
];
for (const [kind, auth, clear, tls] of AUTH) {
  test(`A2 ${kind} with auth ${auth ?? 'not set'}: AUTH answers ${clear} before TLS, ${tls} under TLS`, async () => {
    await using given = await withTls({ kind, tls: 'starttls', ...(auth && { auth }) });
    for (const secure of [false, true]) {
      using client = await given.server.connect();
      await client.reply();
      let offers = await client.say('EHLO client.test');
      if (secure) {
        await client.say('STARTTLS');
        await client.upgrade(given.options);
        offers = await client.say('EHLO client.test');
      }
      const expected = secure ? tls : clear;
      assert.equal(/^250.AUTH /m.test(offers), expected === 235, offers);
      assert.equal(Number((await client.say(PLAIN)).slice(0, 3)), expected);
    }
  });
}

test('STARTTLS resets the session', async () => {
  await using given = await withTls({ kind: 'submission', tls: 'starttls' });
  using client = await given.server.connect();
  await client.reply();
  assert.match(await client.say('EHLO client.test'), /^250.STARTTLS$/m);
  assert.equal(await client.say(PLAIN), '530 5.7.0 Must issue a STARTTLS command first');
  assert.equal(await client.say('STARTTLS now'), '501 5.5.4 STARTTLS takes no parameters');
  assert.equal(await client.say('STARTTLS'), '220 2.0.0 Ready to start TLS');
  await client.upgrade(given.options);
  assert.equal(await client.say('MAIL FROM:<a@b.test>'), '503 5.5.1 Send EHLO or HELO first');
  const offers = await client.say('EHLO client.test');
  assert.doesNotMatch(offers, /STARTTLS/);
  assert.match(offers, /AUTH PLAIN LOGIN/);
  assert.equal(await client.say('STARTTLS'), '503 5.5.1 TLS is active already');
  assert.match(await client.say(PLAIN), /^235/);
  assert.match(await client.say('MAIL FROM:<a@b.test>'), /^250/);
  await client.sayAll('RCPT TO:<c@d.test>', 'DATA', '.');
  const tls = given.server.router.messages[0]?.origin.tls;
  assert.equal(tls?.protocol, 'TLSv1.3');
  assert.match(tls?.cipher ?? '', /^TLS_/);
  assert.equal(await client.say('QUIT'), '221 2.0.0 Bye');
  await client.rest();
});

test('commands sent after STARTTLS in clear text are never run', async () => {
  await using given = await withTls({ tls: 'starttls' });
  using client = await Dialogue.greeted(given.server.port);
  client.write('STARTTLS\r\nEHLO injected.test\r\nMAIL FROM:<injected@evil.test>\r\n');
  assert.match(await client.reply(), /^220/);
  await client.upgrade(given.options);
  assert.equal(await client.say('RCPT TO:<c@d.test>'), '503 5.5.1 Send EHLO or HELO first');
  assert.ok(!given.server.policy.calls.some((c) => c.operation === 'sender-check'));
});

test('a transaction that began in clear text does not go on under TLS', async () => {
  await using given = await withTls({ tls: 'starttls' });
  using client = await Dialogue.greeted(given.server.port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'STARTTLS');
  await client.upgrade(given.options);
  await client.say('EHLO client.test');
  assert.equal(await client.say('DATA'), '503 5.5.1 Send MAIL first');
});

test('where TLS is required, nothing works before it but the way to it', async () => {
  await using given = await withTls({ tls: 'starttls-required' });
  using client = await Dialogue.greeted(given.server.port);
  const refused = '530 5.7.0 Must issue a STARTTLS command first';
  for (const command of ['MAIL FROM:<a@b.test>', 'RCPT TO:<a@b.test>', 'DATA', 'VRFY x', 'EXPN x', PLAIN]) {
    assert.equal(await client.say(command), refused, command);
  }
  assert.equal(await client.say('NOOP'), '250 2.0.0 OK');
  await client.say('STARTTLS');
  await client.upgrade(given.options);
  await client.say('EHLO client.test');
  assert.match(await client.say('MAIL FROM:<a@b.test>'), /^250/);
});

test('implicit TLS', async () => {
  await using given = await withTls({ kind: 'submission', tls: 'implicit' });
  using client = await Dialogue.implicitTls(given.server.port, given.options);
  assert.equal(await client.reply(), '220 mx.test ESMTP');
  const offers = await client.say('EHLO client.test');
  assert.doesNotMatch(offers, /STARTTLS/);
  assert.match(offers, /AUTH PLAIN LOGIN/);
  assert.match(await client.say(PLAIN), /^235/);
  const [, asked] = given.server.policy.calls as { request: { facts?: { tls?: { protocol: string } } } }[];
  assert.equal(asked?.request.facts?.tls?.protocol, 'TLSv1.3');
});

test('clear text on a port with implicit TLS, and an old protocol, fail and are logged', async () => {
  await using given = await withTls({ tls: 'implicit' });
  using clear = await given.server.connect();
  clear.write('EHLO client.test\r\n');
  await clear.rest();
  await waitFor(() => given.server.log.some((l) => l.msg === 'connection failed'), { what: 'a log line' });
  await assert.rejects(Dialogue.implicitTls(given.server.port, { ...given.options, maxVersion: 'TLSv1.1' }));
});

test('a certificate by the name that the client asks for', async () => {
  await using dir = await tempDir();
  const other = await writeCertificate(dir.path, { names: ['other.test'] });
  const names = [{ hosts: ['Other.Test', 'exämple.test'], certificate: other.certificateFile, key: other.keyFile }];
  await using given = await withTls({ tls: 'implicit' }, { names });
  const seen: string[] = [];
  for (const servername of ['other.test', 'OTHER.test', 'xn--exmple-cua.test', 'unknown.test', undefined]) {
    using client = await Dialogue.implicitTls(given.server.port, {
      rejectUnauthorized: false,
      ...(servername && { servername }),
    });
    seen.push(subject(client));
  }
  assert.deepEqual(seen, ['CN=other.test', 'CN=other.test', 'CN=other.test', 'CN=mx.test', 'CN=mx.test']);
});

async function replace(given: { files: { certificateFile: string; keyFile: string }; dir: string }, next: Certificate) {
  // As tools for certificates do it: written beside, then renamed.
  await writeFile(join(given.dir, 'new-key'), next.key);
  await writeFile(join(given.dir, 'new-cert'), next.certificate);
  await rename(join(given.dir, 'new-key'), given.files.keyFile);
  await rename(join(given.dir, 'new-cert'), given.files.certificateFile);
}

test('new certificate files are taken without a restart, and bad ones never', async () => {
  await using given = await withTls({ tls: 'implicit' });
  const { server, files } = given;
  const shown = async (): Promise<string> => {
    using client = await Dialogue.implicitTls(server.port, { rejectUnauthorized: false });
    return subject(client);
  };
  using running = await Dialogue.implicitTls(server.port, { rejectUnauthorized: false });
  const authority = await createAuthority();
  await replace(given, await authority.issue({ names: ['renewed.test'] }));
  await waitFor(async () => (await shown()) === 'CN=renewed.test', { what: 'the new certificate' });
  await running.reply();
  assert.match(await running.say('NOOP'), /^250/, 'sessions go on');

  const problems = () => server.log.filter((l) => l.level >= 50).map((l) => String(l['error']));
  const wrong: [name: string, text: string, problem: RegExp][] = [
    ['garbage', 'garbage', /cert\.pem holds no certificate in PEM form/],
    ['of another key', (await authority.issue({ names: ['x.test'] })).certificate, /does not fit the certificate/],
    [
      'expired',
      (await authority.issue({ names: ['x.test'], notBefore: 0, notAfter: Date.now() - 86_400_000 })).certificate,
      /expired on|does not fit/,
    ],
  ];
  for (const [name, text, problem] of wrong) {
    await writeFile(files.certificateFile, text);
    await waitFor(() => problems().some((p) => problem.test(p)), { what: `a complaint about a certificate ${name}` });
    assert.equal(await shown(), 'CN=renewed.test');
  }
});

test('an expired certificate is better than none, and worse than the one in use', async () => {
  await using dir = await tempDir();
  const expired = await writeCertificate(dir.path, { names: ['old.test'], notBefore: 0, notAfter: Date.now() - 1000 });
  const tls = { certificate: expired.certificateFile, key: expired.keyFile };
  await using alone = await startListener({ listener: { tls: 'implicit' }, config: { tls } });
  using client = await Dialogue.implicitTls(alone.port, { rejectUnauthorized: false });
  assert.equal(subject(client), 'CN=old.test');
  assert.ok(alone.log.some((l) => l.level === 50 && /expired on/.test(String(l['error']))));

  await using given = await withTls({ tls: 'implicit' });
  const { settings } = given.server;
  settings.replace({ ...settings.current, tls: { ...tls, names: [] } });
  await waitFor(() => given.server.log.some((l) => /expired on/.test(String(l['error']))), { what: 'a complaint' });
  using second = await Dialogue.implicitTls(given.server.port, { rejectUnauthorized: false });
  assert.equal(subject(second), 'CN=mx.test');
});

test('a new configuration brings a new certificate', async () => {
  await using given = await withTls({ tls: 'implicit' });
  await using dir = await tempDir();
  const next = await writeCertificate(dir.path, { names: ['next.test'] });
  const { settings, port } = given.server;
  settings.replace({ ...settings.current, tls: { certificate: next.certificateFile, key: next.keyFile, names: [] } });
  await waitFor(
    async () => {
      using client = await Dialogue.implicitTls(port, { rejectUnauthorized: false });
      return subject(client) === 'CN=next.test';
    },
    { what: 'the certificate of the new configuration' },
  );
});

test('start fails with a clear error when the certificate cannot be read', async () => {
  const tls = { certificate: '/nonexistent/cert.pem', key: '/nonexistent/key.pem' };
  await assert.rejects(startListener({ listener: { tls: 'starttls' }, config: { tls } }), {
    code: 'tls-material',
    message: 'the certificate /nonexistent/cert.pem cannot be read',
  });
});

test('without any certificate TLS is not offered, and never with a key that is public', async () => {
  await using server = await startListener({ listener: { tls: 'starttls' } });
  using client = await Dialogue.greeted(server.port);
  assert.doesNotMatch(await client.say('EHLO client.test'), /STARTTLS/);
  assert.equal(await client.say('STARTTLS'), '454 4.7.0 TLS is not available right now');
});

test('the certificates of this test are what they claim to be', async () => {
  const { certificate } = await (await createAuthority()).issue({ names: ['a.test'] });
  assert.equal(new X509Certificate(certificate).subject, 'CN=a.test');
});

test('clients that leave before their handshake, while the service stops, do no harm', async () => {
  // TLS on top of a socket that is destroyed already once took the process down.
  for (let round = 0; round < 5; round++) {
    await using given = await withTls({ tls: 'implicit' });
    for (let i = 0; i < 10; i++) {
      const client = await given.server.connect();
      if (i % 2 === 0) client.socket.resetAndDestroy();
      else client.socket.destroy();
    }
    await given.server.service.stop();
  }
});

test('clients that leave in the moment after their handshake do no harm', async () => {
  await using given = await withTls({ tls: 'starttls' });
  for (let i = 0; i < 20; i++) {
    using client = await Dialogue.greeted(given.server.port);
    await client.say('STARTTLS');
    client.socket.removeAllListeners();
    const secure = connect({ socket: client.socket, minVersion: 'TLSv1.3', ...given.options });
    secure.on('error', () => undefined);
    // The end comes with the last message of the handshake, in one segment.
    client.socket.cork();
    secure.once('secureConnect', () => secure.end(() => client.socket.uncork()));
    await once(client.socket, 'close');
  }
  await waitFor(async () => (await given.server.status())[0]?.sessions === 0, { what: 'the sessions to end' });
  using client = await Dialogue.greeted(given.server.port);
  assert.match(await client.say('NOOP'), /^250/);
});
