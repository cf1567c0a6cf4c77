import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { client, serve } from '#cluster/actor.ts';
import { ControlClient, controlPath, openControl } from '#cluster/bus/control-socket.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { defineContract, type Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';

const contract = defineContract('echo', 1, {
  operations: {
    shout: { request: z.object({ text: z.string() }), reply: z.object({ text: z.string() }), errors: ['empty'] },
    swap: { request: z.object({}), reply: z.object({ length: z.number() }), bytes: 'request' },
    fill: { request: z.object({ length: z.number() }), reply: z.object({}), bytes: 'reply' },
    sleep: { request: z.object({}), reply: z.object({}) },
  },
});

/** Resolved when a sleeper was called since the door was opened. */
let asleep = Promise.withResolvers<void>();

const service: Service<typeof contract> = {
  contract,
  handlers: {
    shout: ({ text }) => {
      if (text === '') throw new SealpostError('empty', 'nothing to shout');
      return { text: text.toUpperCase() };
    },
    swap: (_, { bytes }) => ({ length: bytes.length }),
    fill: ({ length }) => ({ reply: {}, bytes: Buffer.alloc(length, 0xff) }),
    sleep: () => {
      asleep.resolve();
      return new Promise<never>(() => undefined);
    },
  },
  start: async () => undefined,
  stop: async () => undefined,
};

async function door() {
  asleep = Promise.withResolvers<void>();
  const data = await mkdtemp(join(tmpdir(), 'sealpost-control-'));
  const bus = new LocalBus('edge-1');
  serve(bus, service, silentLogger);
  const server = await openControl(data, bus, silentLogger);
  const echo = client(new ControlClient(data), contract);
  const close = async () => {
    await server.close();
    await rm(data, { recursive: true });
  };
  return { data, bus, server, echo, [Symbol.asyncDispose]: close };
}

const code = (expected: string) => (error: unknown) => error instanceof SealpostError && error.code === expected;

test('fields and bytes go through in both directions', async () => {
  await using d = await door();
  assert.deepEqual(await d.echo.shout({ text: 'grüße' }), { text: 'GRÜSSE' });
  assert.deepEqual(await d.echo.swap({}, { bytes: Buffer.alloc(3_000_000) }), { length: 3_000_000 });
  const { bytes } = await d.echo.fill({ length: 300_001 });
  assert.equal(Buffer.compare(bytes, Buffer.alloc(300_001, 0xff)), 0);
});

test('errors keep their codes: declared, of the bus, of the contract', async () => {
  await using d = await door();
  await assert.rejects(d.echo.shout({ text: '' }), code('empty'));
  await assert.rejects(d.echo.shout({ text: 'x' }, { node: 'edge-2' }), code('unavailable'));
  await assert.rejects(d.echo.sleep({}, { timeout: 50 }), code('timeout'));
});

test('a hundred calls at once get their own answers', async () => {
  await using d = await door();
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => d.echo.shout({ text: `a${i}` })));
  assert.deepEqual(
    answers.map((a) => a.text),
    Array.from({ length: 100 }, (_, i) => `A${i}`),
  );
});

test('only the owner may open the socket', async () => {
  await using d = await door();
  assert.equal((await stat(d.server.path)).mode & 0o777, 0o600);
});

test('without a node the error says which socket was tried and what to start', async () => {
  const echo = client(new ControlClient('/nonexistent/data'), contract);
  await assert.rejects(echo.shout({ text: 'x' }), (error) => {
    assert.ok(error instanceof SealpostError);
    assert.equal(error.code, 'no-node');
    assert.match(error.message, /\/nonexistent\/data\/control\.sock.*sealpost start/);
    return true;
  });
});

test('a second node on the same data is refused, the first goes on', async () => {
  await using d = await door();
  await assert.rejects(openControl(d.data, d.bus, silentLogger), code('node-running'));
  assert.deepEqual(await d.echo.shout({ text: 'still' }), { text: 'STILL' });
});

test('the socket of a node that died is replaced', async () => {
  const data = await mkdtemp(join(tmpdir(), 'sealpost-control-'));
  // A process that is killed leaves its socket behind.
  const script = `require('net').createServer().listen(${JSON.stringify(controlPath(data))}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok((await stat(controlPath(data))).isSocket());
  const server = await openControl(data, new LocalBus('edge-1'), silentLogger);
  await server.close();
  await rm(data, { recursive: true });
});

test('garbage and half requests end the connection and nothing else', async () => {
  await using d = await door();
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x00\x00\x00\x02{}\x00\x00\x00\x01x', '\xff\xff\xff\xff', '\x00']) {
    const socket = createConnection(d.server.path);
    socket.on('error', () => undefined);
    socket.end(Buffer.from(bytes, 'latin1'));
    await once(socket.resume(), 'close');
  }
  assert.deepEqual(await d.echo.shout({ text: 'alive' }), { text: 'ALIVE' });
});

test('a node that stops while it is asked is reported as such', async () => {
  await using d = await door();
  const refused = assert.rejects(d.echo.sleep({}, { timeout: 300 }), code('unavailable'));
  await asleep.promise;
  await d.server.close();
  await refused;
});

test('a data folder with a long name uses a short path of its own', async () => {
  const data = join(tmpdir(), `${process.pid}`.padEnd(120, 'x'));
  const path = controlPath(data);
  assert.ok(Buffer.byteLength(path) <= 103, path);
  assert.notEqual(path, controlPath(`${data}y`));
  const server = await openControl(data, new LocalBus('edge-1'), silentLogger);
  assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
  await server.close();
  await rm(dirname(path), { recursive: true });
});

test('something else that listens in the place of the socket is not taken over', async () => {
  const data = await mkdtemp(join(tmpdir(), 'sealpost-control-'));
  const other = createServer().listen(controlPath(data));
  await once(other, 'listening');
  await assert.rejects(openControl(data, new LocalBus('edge-1'), silentLogger), code('node-running'));
  other.close();
  await rm(data, { recursive: true });
});
