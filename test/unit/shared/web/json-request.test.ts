import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { type JsonAnswer, requestJson } from '#shared/web/json-request.ts';

/** Asks a server that answers with these bytes, whatever it is asked, and closes. */
async function ask(answer: string): Promise<JsonAnswer> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(answer));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return await requestJson({ url, ca: undefined, signal: AbortSignal.timeout(5000) });
  } finally {
    server.close();
  }
}

test('a switch of protocols that nobody asked for is an answer without a value', async () => {
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n';
  assert.deepEqual(await ask(switching), { status: 101, value: undefined });
});

test('a connection that ends without an answer is an error', async () => {
  await assert.rejects(ask(''), /hang up/);
});
