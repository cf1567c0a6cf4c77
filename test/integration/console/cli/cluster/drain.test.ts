import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

test('cluster drain: the queue goes to another node and the process ends with success', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using nats = await startNatsServer({ jetStream: true });
  const nek = generateNek('drain');
  // A next hop that hangs up: mail stays in the queue. The port is held, or another test's server could take the mail.
  await using nextHop = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(nextHop, 'listening');
  const { port: sink } = nextHop.address() as AddressInfo;
  const config = `bus: { servers: ["${nats.url}"] }`;
  await using one = await SealpostNode.create({ name: 'edge-1', nek, sink, config });
  await using two = await SealpostNode.create({ name: 'edge-2', nek, sink, config });
  const process = await one.start();
  const drain = () => sealpost(['cluster', 'drain', 'edge-1', '--config', two.configFile], { cwd: two.folder });
  await using load = new Load('drain', { port: one.port, sessions: 3, sizes: [500, 100_000], rate: 50 });
  load.start();
  await waitFor(() => load.accepted.size > 100, { timeout: 30_000, what: 'mail' });

  const alone = await sealpost(['cluster', 'drain', 'edge-1', '--config', one.configFile], { cwd: one.folder });
  assert.equal(alone.code, 1, alone.stdout);
  assert.match(alone.stderr, /there is no other router to take the \d+ messages of edge-1/);
  const nobody = await sealpost(['cluster', 'drain', 'edge-9', '--config', one.configFile], { cwd: one.folder });
  assert.match(nobody.stderr, /no process of a node edge-9 is up/);

  await two.start();
  const refusedBefore = load.accepted.size;
  await waitFor(() => load.accepted.size > refusedBefore, { what: 'mail after a drain that could not be' });
  const { code, stdout, stderr } = await drain();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /edge-1 is drained/);
  assert.equal(await process.ended(), 0);
  await load.stop();
  assert.deepEqual(
    [...load.refused.keys()].filter((reply) => reply.startsWith('5')),
    [],
  );
  const { queues } = JSON.parse(await two.sealpost('status', '--json')) as {
    queues: { node: string; active: number; deferred: number }[];
  };
  assert.deepEqual(
    queues.map(({ node, active, deferred }) => [node, active + deferred]),
    [['edge-2', load.accepted.size]],
  );
  // The nodes that stay know of it, while they say that one is away.
  const audit = await sealpost(['audit', '--config', two.configFile], { cwd: two.folder });
  assert.match(audit.stdout, / edge-1 +member member-drain +this process +done$/m);
  assert.match(audit.stderr, /what node edge-1 alone has written down is not listed: .*not up/);
});

test('cluster drain: the last policy and signer of a cluster go with a warning', {
  ...needs('nats-server'),
  timeout: 60_000,
}, async () => {
  await using nats = await startNatsServer({ jetStream: true });
  const config = `bus: { servers: ["${nats.url}"] }`;
  const nek = generateNek('drain');
  await using rest = await SealpostNode.create({ name: 'rest', nek, config });
  await using last = await SealpostNode.create({ name: 'last', nek, config });
  await rest.start('credential-store', 'signer', 'router');
  await last.start('signer', 'policy');
  const { code, stderr } = await sealpost(['cluster', 'drain', 'last', '--config', rest.configFile], {
    cwd: rest.folder,
  });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /warning: last has the last policy of the cluster: listeners let nobody in/);
  assert.doesNotMatch(stderr, /last signer/);
});
