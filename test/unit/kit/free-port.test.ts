import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { freePort, freePorts } from '#test/kit/free-port.ts';

test('each port is another one, and none that somebody listens on', async () => {
  const first = await freePort();
  await using taken = createServer().listen(first + 1, '127.0.0.1');
  await once(taken, 'listening');
  const ports = [first, await freePort(), await freePort()];
  assert.equal(new Set([...ports, first + 1]).size, 4, ports.join());
});

test('ports in a row, without those that are taken', async () => {
  const first = await freePorts(3);
  assert.deepEqual(first, [first[0], (first[0] ?? 0) + 1, (first[0] ?? 0) + 2]);
  const wanted = first.map((port) => port + 3);
  const second = await freePorts(3, wanted.slice(0, 1));
  assert.ok(
    [...first, ...wanted].every((port) => !second.includes(port)),
    second.join(),
  );
});

test('no process is given the ports of another one, also where nobody listens on them yet', async () => {
  const kit = JSON.stringify(import.meta.resolve('#test/kit/free-port.ts'));
  // Process ids that differ by the number of slices prefer the same slice.
  const script = `Object.defineProperty(process, 'pid', { value: ${process.pid} });
    const { freePort } = await import(${kit}); console.log(await freePort())`;
  const own = await freePort();
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  assert.notEqual(Math.floor((Number(stdout) - 19_900) / 100), Math.floor((own - 19_900) / 100));
});
