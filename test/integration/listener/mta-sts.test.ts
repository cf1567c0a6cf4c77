import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { startListener } from '#test/unit/listener/harness.ts';

/** The policy file as others fetch it. */

const HOST = 'mta-sts.example.com';

async function serving(names: readonly string[] = [HOST]) {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir('mta-sts'));
  const files = await writeCertificate(path, { names });
  const ca = join(path, 'ca.pem');
  await writeFile(ca, files.ca);
  const config = {
    domains: [{ name: 'example.com', local: true }],
    tls: { certificate: files.certificateFile, key: files.keyFile },
    'mta-sts': { address: '127.0.0.1', port: 0, mode: 'enforce', 'max-age': '14d', mx: ['mx1.example.com'] },
  };
  const server = stack.use(await startListener({ config }));
  const status = await server.service.handlers['status-show']({}, { bytes: new Uint8Array(), trace: undefined });
  const port = status.mtaSts?.port ?? 0;
  const curl = async (host = HOST, ...args: string[]) => {
    const place = `${host}:${port}`;
    const url = `https://${place}/.well-known/mta-sts.txt`;
    const child = spawn('curl', ['-sS', '--cacert', ca, '--resolve', `${place}:127.0.0.1`, ...args, url], {
      stdio: 'pipe',
    });
    const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
    return { code, stdout, stderr };
  };
  return { port, curl, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('curl fetches the policy and is sure of the host', needs('curl'), async () => {
  await using given = await serving();
  const { code, stdout, stderr } = await given.curl();
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmax_age: 1209600\r\n');
  const written = await given.curl(HOST, '-o', '/dev/null', '-w', '%{http_code} %{content_type} %{http_version}');
  assert.equal(written.stdout, '200 text/plain 1.1');
});

test('curl refuses a server whose certificate is for another name', needs('curl'), async () => {
  await using given = await serving(['mx1.example.com']);
  // 60: the certificate was not accepted.
  assert.equal((await given.curl()).code, 60);
});

test('a client that says nothing is closed within seconds, before its handshake and after it', async () => {
  await using given = await serving();
  const socket = connect(given.port, '127.0.0.1').on('error', () => undefined);
  await once(socket.resume(), 'close', { signal: AbortSignal.timeout(20_000) });
});
