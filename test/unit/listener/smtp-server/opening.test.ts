import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** Connections that have not got as far as a session. */

type Given = { listener: Record<string, unknown>; limits?: Record<string, unknown> };

async function withTls({ listener, limits = {} }: Given) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const files = await writeCertificate(dir.path, { names: ['mx.test'] });
  const tls = { certificate: files.certificateFile, key: files.keyFile };
  const server = stack.use(await startListener({ listener, config: { tls, limits } }));
  const trust = { ca: files.ca, servername: 'mx.test' };
  return { server, trust, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type Server = Awaited<ReturnType<typeof startListener>>;
const lines = (server: Server, msg: string) => server.log.filter((line) => line.msg === msg);

test('handshakes that never end take the places of their own client alone, and are cut off', async () => {
  await using given = await withTls({
    listener: { tls: 'implicit' },
    limits: { sessions: 100, 'sessions-per-client': 3, timeout: '1s' },
  });
  const { server, trust } = given;
  const silent: Dialogue[] = [];
  for (let i = 0; i < 3; i++) silent.push(await server.connect('127.0.0.2'));
  // Half a ClientHello, and a byte now and then, which an idle time-out would take for life.
  for (const client of silent) client.write(Buffer.from([22, 3, 1, 2, 0]));
  const trickle = setInterval(() => silent[0]?.write(Buffer.from([0])), 100);
  using fourth = await server.connect('127.0.0.2');
  assert.equal(await fourth.rest(), '');
  await waitFor(() => lines(server, 'connection refused').length > 0, { what: 'a log line about the refusal' });
  assert.equal(lines(server, 'connection refused')[0]?.['peer'], '127.0.0.2');
  using other = await Dialogue.implicitTls(server.port, trust);
  assert.match(await other.reply(), /^220/);
  for (const client of silent) await client.rest();
  clearInterval(trickle);
  await waitFor(() => lines(server, 'connection failed').length > 0, { what: 'a log line about the time' });
  assert.match(JSON.stringify(lines(server, 'connection failed')), /127\.0\.0\.2.*took 1000 ms/);
});

test('a client that closes before its handshake, or half closes, frees its place immediately', async () => {
  for (const listener of [{ tls: 'implicit' }, { tls: 'none', proxy: ['127.0.0.0/8'] }]) {
    await using given = await withTls({ listener, limits: { sessions: 4, timeout: '1m' } });
    const { server } = given;
    for (let round = 0; round < 3; round++) {
      const clients: Dialogue[] = [];
      for (let i = 0; i < 4; i++) clients.push(await server.connect());
      clients[0]?.write(Buffer.from([22, 3, 1]));
      for (const client of clients) client.socket.end();
      for (const client of clients) await client.rest();
    }
    await waitFor(() => lines(server, 'connection closed before anything was said').length === 9, {
      what: 'the silent ones to be seen',
    });
    assert.equal(lines(server, 'connection refused').length, 0);
  }
});

test('a STARTTLS handshake that never ends is cut off, however its bytes trickle', async () => {
  await using given = await withTls({ listener: { tls: 'starttls' }, limits: { timeout: '1s' } });
  using client = await Dialogue.greeted(given.server.port);
  await client.say('STARTTLS');
  client.write(Buffer.from([22, 3, 1, 2, 0]));
  const trickle = setInterval(() => client.write(Buffer.from([0])), 100);
  await client.rest();
  clearInterval(trickle);
  await waitFor(() => lines(given.server, 'session ended').length === 1, { what: 'the end of the session' });
  assert.match(String(lines(given.server, 'connection failed')[0]?.['error']), /took 1000 ms/);
});

test('a client that leaves in its STARTTLS handshake is gone', async () => {
  await using given = await withTls({ listener: { tls: 'starttls' } });
  using client = await Dialogue.greeted(given.server.port);
  await client.say('STARTTLS');
  client.write(Buffer.from([22, 3, 1]));
  client.socket.end();
  await waitFor(() => lines(given.server, 'session ended').length === 1, { what: 'the end of the session' });
});

test('a service that stops in the middle of a STARTTLS handshake does so cleanly', async () => {
  await using given = await withTls({ listener: { tls: 'starttls' } });
  using client = await Dialogue.greeted(given.server.port);
  await client.say('STARTTLS');
  client.write(Buffer.from([22, 3, 1, 2, 0]));
  await given.server.service.stop();
  await waitFor(() => lines(given.server, 'session ended').length === 1, { what: 'the end of the session' });
});

test('refusals are logged with their peer, at a bounded rate', async () => {
  await using server = await startListener({ config: { limits: { 'sessions-per-client': 1 } } });
  using first = await server.connect('127.0.0.2');
  await first.reply();
  for (let i = 0; i < 20; i++) {
    using refused = await server.connect('127.0.0.2');
    assert.match(await refused.rest(), /^421 4\.7\.0/);
  }
  assert.equal(lines(server, 'connection refused').length, 1);
  await server.service.stop();
  const [, repeated] = lines(server, 'connection refused');
  assert.equal(repeated?.['peer'], '127.0.0.2');
  assert.equal(repeated?.['count'], 19);
});
