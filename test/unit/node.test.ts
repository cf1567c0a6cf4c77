import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { client, listen } from '#cluster/actor.ts';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import { requireConfig } from '#cluster/config/load.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { startNode } from '#services/node.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { MAIL_SERVICES } from '#services/topology.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const LISTENERS = 'listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: 0, tls: none }]';

async function folderWith(...lines: string[]) {
  const folder = await tempDir('node-test');
  const file = join(folder.path, 'sealpost.yaml');
  const write = (...text: string[]) => writeFile(file, [LISTENERS, ...text, ''].join('\n'));
  await write(...lines);
  const load = async () => (await requireConfig(file)).config;
  return { file, write, load, path: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

const code = (expected: string) => (error: unknown) => error instanceof SealpostError && error.code === expected;

test('all services run and answer on the bus and through the control socket, until the node stops', async () => {
  await using folder = await folderWith();
  const config = await folder.load();
  const node = await startNode({ config, log: silentLogger });
  const control = new ControlClient(config.node.data);
  for (const bus of [node.bus, control]) {
    const { listeners } = await client(bus, listenerContract)['status-show']({});
    assert.equal(listeners.length, 1);
    assert.ok((listeners[0]?.port ?? 0) > 0);
    assert.equal((await client(bus, routerContract)['status-show']({})).active, 0);
    assert.equal((await client(bus, signerContract)['status-show']({})).keys, 0);
    const { members } = await client(bus, memberContract)['member-list']({});
    assert.deepEqual(
      members.map(({ state, services }) => ({ state, services })),
      [{ state: 'up', services: [...MAIL_SERVICES] }],
    );
  }
  const states: string[] = [];
  listen(node.bus, memberContract, silentLogger)('heartbeat', ({ state }) => states.push(state));
  await Promise.all([node.stop(), node.stop()]);
  assert.deepEqual([...new Set(states)], ['draining', 'gone']);
  await assert.rejects(client(control, routerContract)['status-show']({}), code('no-node'));
  await assert.rejects(client(node.bus, routerContract)['status-show']({}), code('unavailable'));
});

test('a stopped node leaves its data free for the next', async () => {
  await using folder = await folderWith();
  const config = await folder.load();
  for (let i = 0; i < 2; i++) await (await startNode({ config, log: silentLogger })).stop();
});

test('two nodes on one data folder: the second is refused, the first goes on', async () => {
  await using folder = await folderWith();
  const config = await folder.load();
  await using node = await startNode({ config, log: silentLogger });
  await assert.rejects(startNode({ config, log: silentLogger }), /another process uses .*data.*node\.data/s);
  assert.equal((await client(node.bus, routerContract)['status-show']({})).active, 0);
});

test('without a bus, some services alone make no node', async () => {
  await using folder = await folderWith();
  const config = await folder.load();
  await assert.rejects(startNode({ config, services: ['listener', 'policy'], log: silentLogger }), (error) => {
    assert.ok(error instanceof SealpostError);
    assert.equal(error.code, 'bus-needed');
    assert.match(error.message, /credential-store, signer, router would be missing.*bus\.servers/);
    return true;
  });
});

test('a service that cannot start stops the others and hands its error on', async () => {
  await using folder = await folderWith();
  const config = await folder.load();
  const taken = createServer().listen(0, '127.0.0.1');
  await waitFor(() => taken.listening, { what: 'a port' });
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const listeners = config.listeners.map((listener) => ({ ...listener, port }));
  await assert.rejects(startNode({ config: { ...config, listeners }, log: silentLogger }), new RegExp(`port ${port}`));
  taken.close();
  // Everything that had been started is free again.
  await (await startNode({ config, log: silentLogger })).stop();
});

test('a changed file is in force in every logger at once, and a reload by hand reads it too', async () => {
  await using folder = await folderWith();
  const { log, lines } = logLines();
  await using node = await startNode({ config: await folder.load(), log, configFile: folder.file });
  await folder.write('log: { level: error }', 'limits: { sessions: 3 }');
  await node.reload();
  assert.equal(node.settings.current.limits.sessions, 3);
  assert.equal(log.level, 'error');
  await folder.write('limits: { sessions: none }');
  await node.reload();
  assert.equal(node.settings.current.limits.sessions, 3);
  assert.ok(lines().some((line) => /refused/.test(line.msg)));
});
