import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { stsPolicyId } from '#shared/mta-sts/own-policy.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { startListener } from '#test/unit/listener/harness.ts';

const HOST = 'mta-sts.example.com';
const PATH = '/.well-known/mta-sts.txt';
const POLICY = 'version: STSv1\r\nmode: testing\r\nmx: mx.test\r\nmax_age: 604800\r\n';
const PLAIN = { address: '127.0.0.1', port: 0, tls: 'none' };

/** A listener service that serves a policy, by HTTPS where it has a certificate. */
async function serving(section: Record<string, unknown> = PLAIN, more: Record<string, unknown> = {}) {
  const domains = [{ name: 'example.com', local: true }, { name: 'example.net', local: true }, { name: 'example.org' }];
  const config = (own: Record<string, unknown>) => ({ domains, 'mta-sts': own, ...more });
  const server = await startListener({ config: config(section) });
  const shown = async () =>
    await server.service.handlers['status-show']({}, { bytes: new Uint8Array(), trace: undefined });
  const port = async (): Promise<number> => (await shown()).mtaSts?.port ?? assert.fail('no policy is served');
  const change = (own: Record<string, unknown> | undefined): void => {
    const next = ConfigSchema.parse({ node: { hostname: 'mx.test' }, listeners: [], ...config(own ?? {}) });
    const { 'mta-sts': _, ...without } = next;
    server.settings.replace((own === undefined ? without : next) as typeof next);
  };
  return { ...server, shown, policyPort: port, change };
}

type Asked = { method?: string; path?: string; host?: string; headers?: Record<string, string> };

async function ask(port: number, { method = 'GET', path = PATH, host = HOST, headers = {} }: Asked = {}) {
  const request = httpRequest({ host: '127.0.0.1', port, method, path, headers: { host, ...headers }, agent: false });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { code: response.statusCode, type: response.headers['content-type'], body: await text(response) };
}

test('the policy is served at the hosts of our domains alone, at its place alone', async () => {
  await using server = await serving();
  const port = await server.policyPort();
  assert.deepEqual(await ask(port), { code: 200, type: 'text/plain', body: POLICY });
  const taken: Asked[] = [{ host: 'MTA-STS.example.net:443' }, { host: 'mta-sts.example.com.' }];
  for (const one of taken) assert.equal((await ask(port, one)).body, POLICY, JSON.stringify(one));
  assert.deepEqual(await ask(port, { method: 'HEAD' }), { code: 200, type: 'text/plain', body: '' });
  const refused: Asked[] = [
    { host: 'example.com' },
    { host: 'mta-sts.example.org' },
    { host: 'mta-sts.other.test' },
    { host: '' },
    { path: '/' },
    { path: `${PATH}/` },
    { path: `${PATH}?x` },
    { path: `/x/..${PATH}` },
    { method: 'POST' },
    { method: 'OPTIONS' },
  ];
  for (const one of refused) {
    assert.deepEqual(await ask(port, one), { code: 404, type: 'text/plain', body: '' }, JSON.stringify(one));
  }
  assert.equal((await ask(port, { headers: { x: 'x'.repeat(10_000) } })).code, 431);
});

test('a change of the policy is served by the open socket; another port is another one; none closes it', async () => {
  await using server = await serving();
  const port = await server.policyPort();
  server.change({ ...PLAIN, mode: 'enforce', mx: ['mx1.test'], domains: ['other.test'] });
  await waitFor(async () => (await ask(port, { host: 'mta-sts.other.test' })).body.includes('mx: mx1.test'), {
    what: 'the new policy',
  });
  assert.equal((await ask(port)).code, 404);
  const { mtaSts } = await server.shown();
  assert.deepEqual([mtaSts?.domains, mtaSts?.port], [['other.test'], port]);
  assert.equal(mtaSts?.id, stsPolicyId(mtaSts?.text ?? ''));
  await using other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const taken = other.address();
  assert.ok(typeof taken === 'object' && taken !== null);
  server.change({ ...PLAIN, port: taken.port });
  const failure = () => server.log.find(({ msg }) => msg === 'MTA-STS policy not served');
  await waitFor(() => failure() !== undefined, { what: 'the log line' });
  assert.match(
    String(failure()?.['error']),
    /the server of the MTA-STS policy cannot listen .* another program has it/,
  );
  server.change(PLAIN);
  await waitFor(async () => (await server.shown()).mtaSts !== undefined, { what: 'an open socket' });
  const last = await server.policyPort();
  assert.equal((await ask(last)).body, POLICY);
  server.change(undefined);
  await waitFor(async () => (await server.shown()).mtaSts === undefined, { what: 'a closed socket' });
  await assert.rejects(ask(last), { code: 'ECONNREFUSED' });
});

test('by HTTPS with the certificate for the name that is asked for; a name without one gets none', async () => {
  await using dir = await tempDir();
  const mine = await writeCertificate(dir.path, { names: [HOST] });
  const tls = { certificate: mine.certificateFile, key: mine.keyFile };
  await using server = await serving({ ...PLAIN, tls: 'implicit' }, { tls });
  const request = httpsRequest({
    ...{ host: '127.0.0.1', port: await server.policyPort(), path: PATH, agent: false },
    ...{ servername: HOST, headers: { host: HOST }, ca: mine.ca },
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.deepEqual([response.statusCode, await text(response)], [200, POLICY]);
  const { certificates } = await server.shown();
  assert.deepEqual(
    certificates?.map(({ hosts }) => hosts),
    [['*']],
  );
});

test('one client has ten connections at most', async () => {
  await using dir = await tempDir();
  const { certificateFile: certificate, keyFile: key } = await writeCertificate(dir.path, { names: [HOST] });
  await using server = await serving({ ...PLAIN, tls: 'implicit' }, { tls: { certificate, key } });
  const port = await server.policyPort();
  const open = async (localAddress: string): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  const first = await Promise.all(Array.from({ length: 10 }, () => open('127.0.0.2')));
  const closed = (socket: Socket) => once(socket.resume(), 'close', { signal: AbortSignal.timeout(15_000) });
  await closed(await open('127.0.0.2'));
  const other = await open('127.0.0.3');
  assert.ok([...first, other].every((socket) => !socket.closed));
  for (const socket of [...first, other]) socket.destroy();
});
