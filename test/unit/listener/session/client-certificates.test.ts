import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ConnectionOptions, TLSSocket } from 'node:tls';
import type { ClientTls } from '#shared/mail/tls.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** What a listener notes of the certificates of its clients (DOMINO T10). */

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

const authority = await issue('Branch Authority', { ca: true });
const stranger = await issue('Other Authority', { ca: true });
const forClients = { by: authority, usages: [CLIENT_AUTH] };

/** A listener that asks for certificates of `authority`, of which `tls` is the kind. */
async function asking(tls: 'starttls' | 'implicit', more: Record<string, unknown> = {}) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const files = await writeCertificate(dir.path, { names: ['mx.test'] });
  const ca = join(dir.path, 'clients.pem');
  await writeFile(ca, authority.certificate);
  const server = stack.use(
    await startListener({
      listener: { tls, 'client-certificates': { ca }, ...more },
      config: { tls: { certificate: files.certificateFile, key: files.keyFile } },
    }),
  );
  return { server, ca, files, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type Given = Awaited<ReturnType<typeof asking>>;

async function connect({ server }: Given, options: ConnectionOptions): Promise<Dialogue> {
  const all = { rejectUnauthorized: false, servername: 'mx.test', ...options };
  if (server.settings.current.listeners[0]?.tls === 'implicit') {
    const client = await Dialogue.implicitTls(server.port, all);
    await client.reply();
    await client.say('EHLO client.test');
    return client;
  }
  const client = await Dialogue.greeted(server.port);
  assert.match(await client.say('STARTTLS'), /^220/);
  await client.upgrade(all);
  await client.say('EHLO client.test');
  return client;
}

/** Send a message and return what was noted of its TLS. */
async function noted({ server }: Given, client: Dialogue): Promise<ClientTls | undefined> {
  const before = server.router.messages.length;
  const said = await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA', '.');
  assert.match(said.at(-1) ?? '', /^250/);
  return server.router.messages[before]?.origin.tls;
}

const of = ({ certificate, key }: Issued): ConnectionOptions => ({ cert: certificate, key });

const VERDICTS: [name: string, certificate: Issued, verified: boolean, problem: string | undefined][] = [
  ['issued by the authority', await issue('scanner', { ...forClients, names: ['Scanner.test'] }), true, undefined],
  [
    'issued by another one',
    await issue('scanner', { by: stranger }),
    false,
    'from an authority that is not trusted here',
  ],
  ['self-signed', await issue('scanner', { usages: [CLIENT_AUTH] }), false, 'it is self-signed'],
  ['expired', await issue('scanner', { ...forClients, until: Date.now() - 1000 }), false, 'it has expired'],
  ['not valid yet', await issue('scanner', { ...forClients, from: Date.now() + 60_000 }), false, 'it is not valid yet'],
  ['for servers', await issue('scanner', { by: authority, usages: [SERVER_AUTH] }), false, 'it is not for clients'],
];
for (const tls of ['starttls', 'implicit'] as const) {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`T10 ${tls} with ${version}: the verdict on a certificate is noted, and all are served`, async () => {
      await using given = await asking(tls);
      for (const [name, certificate, verified, problem] of VERDICTS) {
        using client = await connect(given, { ...of(certificate), minVersion: version, maxVersion: version });
        const found = await noted(given, client);
        assert.equal(found?.protocol, version, name);
        assert.equal(found?.certificate?.subject, 'scanner', name);
        assert.equal(found?.certificate?.verified, verified, name);
        assert.match(found?.certificate?.problem ?? '', new RegExp(problem ?? '^$'), name);
        assert.match(found?.certificate?.fingerprint ?? '', /^[0-9a-f]{64}$/);
        // Names of a certificate that nobody vouches for are nobody's.
        assert.deepEqual(found?.certificate?.names, verified ? ['scanner.test'] : undefined, name);
      }
      using without = await connect(given, { minVersion: version, maxVersion: version });
      assert.equal((await noted(given, without))?.certificate, undefined);
    });

    test(`T10 ${tls} with ${version}: a session that is resumed has the verdict of the one before`, async () => {
      await using given = await asking(tls);
      const certificate = await issue('scanner', { ...forClients, names: ['scanner.test'] });
      const versions = { minVersion: version, maxVersion: version };
      using first = await connect(given, { ...of(certificate), ...versions });
      assert.ok(first.socket instanceof TLSSocket);
      const before = await noted(given, first);
      // The ticket of TLS 1.3 came with the first data.
      const session = first.socket.getSession();
      using second = await connect(given, { ...versions, session });
      assert.ok(second.socket instanceof TLSSocket);
      assert.equal(second.socket.isSessionReused(), true);
      assert.deepEqual((await noted(given, second))?.certificate, before?.certificate);
    });
  }
}

test('T10 the common name of a certificate counts where it has no subjectAltName', async () => {
  await using given = await asking('starttls');
  using named = await connect(given, of(await issue('scanner', forClients)));
  assert.deepEqual((await noted(given, named))?.certificate?.names, ['scanner']);
  using hostile = await connect(given, of(await issue('evil\u202e\x1b[31m', forClients)));
  const certificate = (await noted(given, hostile))?.certificate;
  assert.deepEqual(certificate?.names, []);
  assert.doesNotMatch(certificate?.subject ?? '', /[\u202e\x1b]/);
});

test('T10 a certificate may have no subject', async () => {
  await using given = await asking('starttls');
  using named = await connect(given, of(await issue('', { ...forClients, names: ['scanner.test'] })));
  const { subject, names } = (await noted(given, named))?.certificate ?? {};
  assert.deepEqual([subject, names], ['scanner.test', ['scanner.test']]);
  using nameless = await connect(given, of(await issue('', forClients)));
  const { certificate } = (await noted(given, nameless)) ?? {};
  assert.deepEqual([certificate?.subject, certificate?.names], ['no name', []]);
});

test('T10 a name with a comma does not become two', async () => {
  await using given = await asking('starttls');
  const names = ['good.test', 'x, DNS:evil.test'];
  using client = await connect(given, of(await issue('scanner', { ...forClients, names })));
  assert.deepEqual((await noted(given, client))?.certificate?.names, ['good.test']);
});

test('T10 TLS 1.2: a client cannot present another certificate later', async () => {
  await using given = await asking('implicit');
  using client = await connect(given, { ...of(await issue('first', forClients)), maxVersion: 'TLSv1.2' });
  const { socket } = client;
  assert.ok(socket instanceof TLSSocket);
  const error = await new Promise<Error | null>((resolve) => {
    socket.renegotiate({ rejectUnauthorized: false }, resolve);
    socket.once('error', resolve);
  });
  assert.match(error?.message ?? '', /renegotiation/i);
});

test('T10 a listener that does not ask for certificates gets none', async () => {
  await using given = await asking('starttls', { 'client-certificates': undefined });
  using client = await connect(given, of(await issue('scanner', forClients)));
  const found = await noted(given, client);
  assert.equal(found?.certificate, undefined);
  assert.equal(found?.suite, found?.cipher, 'TLS 1.3: OpenSSL and IANA have the same names');
});

test('T10 without ca the public authorities count', async () => {
  await using given = await asking('implicit', { 'client-certificates': {} });
  using client = await connect(given, of(await issue('scanner', forClients)));
  assert.equal((await noted(given, client))?.certificate?.verified, false);
});

test('T10 authorities that change are taken without a restart, for running listeners', async () => {
  await using given = await asking('starttls');
  const certificate = await issue('scanner', { by: stranger, usages: [CLIENT_AUTH] });
  const verified = async (): Promise<boolean | undefined> => {
    using client = await connect(given, of(certificate));
    return (await noted(given, client))?.certificate?.verified;
  };
  assert.equal(await verified(), false);
  await writeFile(given.ca, stranger.certificate);
  await waitFor(verified, { what: 'the new authority' });
  await writeFile(given.ca, 'garbage');
  await waitFor(() => given.server.log.some((l) => /clients\.pem holds no certificate/.test(String(l['error']))), {
    what: 'a complaint',
  });
  assert.equal(await verified(), true, 'the one before stays');
});

test('T10 the end of a session says which TLS it had', async () => {
  await using given = await asking('starttls');
  using client = await connect(given, of(await issue('scanner', { usages: [] })));
  await client.say('QUIT');
  const ended = () => given.server.log.find((l) => l.msg === 'session ended');
  await waitFor(() => ended() !== undefined, { what: 'the end of the session' });
  assert.match(
    String(ended()?.['tls']),
    /^TLSv1\.3, TLS_\w+, certificate of scanner \(not verified: it is self-signed\)$/,
  );
});

test('T1 clients in some networks get no mail in without TLS', async () => {
  await using given = await asking('starttls', { 'require-tls': ['127.0.0.2', '10.0.0.0/8'] });
  const { server } = given;
  const refused = '530 5.7.0 Must issue a STARTTLS command first';
  for (const [from, expected] of [
    ['127.0.0.1', '250 2.1.0 Sender OK'],
    ['127.0.0.2', refused],
  ] as const) {
    using client = await server.connect(from);
    await client.reply();
    await client.say('EHLO client.test');
    assert.equal(await client.say('MAIL FROM:<a@b.test>'), expected);
    assert.equal(await client.say('NOOP'), '250 2.0.0 OK');
    await client.say('STARTTLS');
    await client.upgrade({ rejectUnauthorized: false });
    await client.say('EHLO client.test');
    assert.equal(await client.say('MAIL FROM:<a@b.test>'), '250 2.1.0 Sender OK');
  }
  const told = server.log.filter((l) => l.msg === 'command refused: TLS is required');
  assert.deepEqual(
    told.map((l) => [l['peer'], l['command']]),
    [['127.0.0.2', 'MAIL']],
  );
});
