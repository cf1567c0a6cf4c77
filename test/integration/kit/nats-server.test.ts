import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from 'nats';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

test('a cluster of three keeps JetStream data while one server is away', needs('nats-server'), async () => {
  await using cluster = await startNatsCluster(3);
  const [first, second] = cluster.servers;
  assert.ok(first !== undefined && second !== undefined);
  const connection = await connect({ servers: second.url });
  try {
    // The servers elect a leader before they take a bucket.
    const bucket = await waitFor(() => connection.jetstream().views.kv('test', { replicas: 3, timeout: 1000 }), {
      what: 'a bucket on three servers',
      timeout: 20_000,
    });
    await bucket.put('key', 'one');
    await first.kill();
    const revision = await waitFor(() => bucket.put('key', 'two'), { what: 'a write without it', timeout: 20_000 });
    assert.ok(revision > 1);
    await first.restart();
    assert.equal((await bucket.get('key'))?.string(), 'two');
  } finally {
    await connection.close();
  }
});
