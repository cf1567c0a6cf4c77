import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { CONNECTIONS, CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes, two copies of each message, 200 messages a second. The next hop stops answering until queues have grown;
 * then the node that holds the most is killed and its disk is taken away. All mail that was answered with 250 arrives
 * within 90 seconds, with `queue.takeover-after` as it is by default. Then the old disk comes back, and sends nothing.
 */
test('a node and its disk are lost under load', { ...needs('nats-server'), timeout: 10 * 60_000 }, async (t) => {
  await using cluster = await CopiesCluster.start();
  const { sink } = cluster;
  const loads = cluster.loads('lost', 200);
  for (const load of loads) load.start();
  await waitFor(() => sink.messages > 500, { timeout: 60_000, what: 'mail' });
  sink.pause();
  const queued = async (n: number): Promise<number> => {
    const { active, deferred } = await cluster.status(n);
    return active + deferred;
  };
  await waitFor(async () => (await queued(1)) > 300, { timeout: 60_000, what: 'queues to grow' });
  const sizes = await Promise.all([1, 2, 3].map(queued));
  const victim = sizes.indexOf(Math.max(...sizes)) + 1;

  const node = cluster.node(victim);
  const killed = performance.now();
  await node.programs.get('all')?.kill();
  const [disk, away] = [join(node.folder, 'data'), join(node.folder, 'data-of-before')];
  await rename(disk, away);
  sink.resume();
  await cluster.arrived(loads, 90_000);
  const seconds = (performance.now() - killed) / 1000;
  await Promise.all(loads.map((load) => load.stop()));
  await cluster.arrived(loads);
  const accepted = loads.map((load) => load.accepted.size);
  const refused = JSON.stringify(loads.map((load) => Object.fromEntries(load.refused)));
  t.diagnostic(`edge-${victim} of ${sizes} queued messages lost; all arrived ${seconds.toFixed(1)} s after the kill`);
  t.diagnostic(`accepted ${accepted}, refused ${refused}, duplicates ${sink.duplicates}`);
  assert.ok(sink.duplicates <= CONNECTIONS, `${sink.duplicates} duplicates`);

  // Back with the old disk: what the others delivered is not delivered again.
  const before = { duplicates: sink.duplicates, messages: sink.messages };
  await rename(away, disk);
  await node.start();
  // The nodes that took its mail over say so one after the other.
  await waitFor(async () => (await cluster.status(victim)).copies.handedOver >= 300, {
    timeout: 60_000,
    what: 'the old disk to be emptied',
  });
  await waitFor(async () => (await queued(victim)) === 0, { timeout: 60_000, what: 'its queue to be empty' });
  const { handedOver } = (await cluster.status(victim)).copies;
  t.diagnostic(`the old disk had ${handedOver} messages that others took over`);
  assert.deepEqual({ duplicates: sink.duplicates, messages: sink.messages }, before);
});
