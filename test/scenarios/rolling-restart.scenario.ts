import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAIL_SERVICES } from '#services/topology.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes of five processes each on three nats-servers: every process is ended by SIGTERM and started again, one at a
 * time, under load. A client that tries again on 4xx, at another node where its own takes no connections, sees no error,
 * and all that was accepted arrives.
 */
const NODES = 3;
const RATE = 60;

test('a rolling restart of every process under load', {
  ...needs('nats-server'),
  timeout: 20 * 60_000,
}, async (t) => {
  await using undo = new AsyncDisposableStack();
  const { servers } = undo.use(await startNatsCluster(3));
  const sink = undo.use(await Tally.start());
  const nek = generateNek('test');
  const config = [
    `bus: { servers: ${JSON.stringify(servers.map(({ url }) => url))} }`,
    'domains: [{ name: example.com, signing: { mode: enforce }, keys: { proof: none } }]',
    'queue: { copies: 2, retry: { first: 2s, max: 10s } }',
  ].join('\n');
  const nodes: SealpostNode[] = [];
  for (const [i, port] of (await freePorts(NODES)).entries()) {
    nodes.push(undo.use(await SealpostNode.create({ name: `edge-${i + 1}`, port, nek, sink: sink.port, config })));
  }
  for (const node of nodes) for (const service of MAIL_SERVICES) await node.start(service);
  await nodes[0]?.createKey('example.com', 's1');

  const loads = nodes.map(
    ({ port }, i) =>
      new Load(`edge-${i + 1}`, {
        port,
        sessions: 4,
        sizes: [500, 4000, 40_000],
        rate: RATE / NODES,
        patience: 60_000,
      }),
  );
  for (const load of loads) {
    load.start();
    undo.defer(() => load.stop());
  }
  const flowing = async (what: string): Promise<void> => {
    const before = loads.map((load) => load.accepted.size);
    await waitFor(() => loads.every((load, i) => load.accepted.size >= (before[i] ?? 0) + 20), {
      ...{ what: `mail at every node, ${what}`, timeout: 60_000 },
    });
  };
  await flowing('at first');

  for (const [i, server] of servers.entries()) {
    await t.test(`nats-server ${i + 1}`, async () => {
      await server.stop();
      await flowing('without it');
      await server.restart();
      await flowing('with it again');
    });
  }
  for (const node of nodes) {
    for (const service of MAIL_SERVICES) {
      await t.test(`${service} of edge-${nodes.indexOf(node) + 1}`, async () => {
        const program = node.programs.get(service);
        const exit = await program?.stop(20_000);
        await node.start(service);
        await flowing('after it');
        assert.equal(exit, 0);
      });
    }
  }

  await Promise.all(loads.map((load) => load.stop()));
  const accepted = new Set(loads.flatMap((load) => [...load.accepted]));
  await waitFor(() => [...accepted].every((id) => sink.arrivals.has(id)), { what: 'all mail', timeout: 120_000 });
  const sum = (of: (load: Load) => number): number => loads.reduce((total, load) => total + of(load), 0);
  const refused = loads.map((load) => Object.fromEntries(load.refused));
  t.diagnostic(
    `accepted ${accepted.size}, refused ${JSON.stringify(refused)}, broken connections ${sum((l) => l.broken)}, ` +
      `without a reply ${sum((l) => l.unknown.size)}, duplicates ${sink.duplicates}, ` +
      `refused and arrived ${[...sink.arrivals.keys()].filter((id) => !accepted.has(id)).length}`,
  );
  for (const load of loads) for (const reply of load.refused.keys()) assert.match(reply, /^4/);
  assert.equal(
    sum((load) => load.unknown.size),
    0,
    'every message got its reply',
  );
  assert.deepEqual([...sink.signatures.keys()], [1], 'every message carries one signature');
});
