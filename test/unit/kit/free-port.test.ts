import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';

test('each port is another one, and none that somebody listens on', async () => {
  const first = await freePort();
  await using taken = createServer().listen(first + 1, '127.0.0.1');
  await once(taken, 'listening');
  const ports = [first, await freePort(), await freePort()];
  assert.equal(new Set([...ports, first + 1]).size, 4, ports.join());
});
