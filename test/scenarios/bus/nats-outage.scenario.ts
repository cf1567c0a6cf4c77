import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lengthOf } from '#test/kit/length.ts';
import { DOMAIN, EdgeCluster } from '#test/kit/nodes/edge-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * All NATS servers are away for ten minutes: every node goes on accepting, signing and delivering, also one that is
 * started meanwhile. MINUTES chooses how long.
 */
const MINUTES = lengthOf('MINUTES', { short: 2, full: 10 });

test(`${MINUTES} minutes without NATS`, {
  ...needs('nats-server', 'named', ...VERIFIER),
  timeout: 30 * 60_000,
}, async (t) => {
  await using cluster = await EdgeCluster.start();
  const { nats, sink } = cluster;
  await cluster.node(1).createKey(DOMAIN, 's1');
  const loads = cluster.loads('outage', 50);
  for (const load of loads) load.start();
  await waitFor(() => loads.every((load) => load.accepted.size > 20), { timeout: 30_000, what: 'mail' });

  await Promise.all(nats.map((server) => server.kill()));
  const began = performance.now();
  const away = loads.map((load) => load.accepted.size);

  await t.test('a node that is started now signs with what it holds, and says so', async () => {
    const node = cluster.node(3);
    await node.programs.get('all')?.kill();
    const program = await node.start();
    const before = loads[2]?.accepted.size ?? 0;
    await waitFor(() => (loads[2]?.accepted.size ?? 0) > before + 20, { timeout: 30_000, what: 'mail through it' });
    assert.match(program.output, /waiting for NATS/);
    const list = await node.sealpost('keys', 'list');
    t.diagnostic(list);
    assert.match(list, /edge-3 may not know the newest/);
    const { services } = JSON.parse(await node.sealpost('status', '--json')) as {
      services: Record<string, { ok: boolean }>;
    };
    assert.deepEqual(
      Object.values(services).map((s) => s.ok),
      [true, true, true, true, true],
    );
  });

  await t.test('a change of keys is refused, and says why', async () => {
    await assert.rejects(cluster.node(2).sealpost('keys', 'rotate', DOMAIN), (error: { stderr: string }) => {
      t.diagnostic(error.stderr);
      return /cannot be changed/.test(error.stderr);
    });
  });

  await delay(Math.max(0, MINUTES * 60_000 - (performance.now() - began)));
  for (const [i, load] of loads.entries()) {
    const accepted = load.accepted.size - (away[i] ?? 0);
    assert.ok(accepted > MINUTES * 60, `edge-${i + 1} accepted ${accepted} messages`);
    t.diagnostic(`edge-${i + 1} accepted ${accepted} messages without NATS; refused ${[...load.refused]}`);
  }

  await Promise.all(nats.map((server) => server.restart()));
  await waitFor(() => cluster.node(3).sealpost('keys', 'rotate', DOMAIN, '--selector', 's2'), {
    timeout: 90_000,
    what: 'keys to be changed again',
  });
  await waitFor(async () => (await cluster.active()).join() === 's2', { timeout: 60_000, what: 's2 alone to sign' });
  await Promise.all(loads.map((load) => load.stop()));
  await cluster.arrived(loads);
  t.diagnostic(`${sink.messages} messages, signed by ${[...sink.passed]}`);
  assert.deepEqual(sink.bad.slice(0, 3), []);
});
