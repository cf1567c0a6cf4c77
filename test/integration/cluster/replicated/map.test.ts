import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, mock, test } from 'node:test';
import { Level } from 'level';
import { headers } from 'nats';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import type { SealpostError } from '#shared/errors.ts';
import { Cable } from '#test/kit/bus/cable.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';
import { alike, count, following, insist, losing, MapSite, shown, tag, text } from '#test/kit/bus/map-site.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type MapFixture, mapSuite, Note } from '#test/suites/replicated-map.ts';

const nats = needs('nats-server');

// One set of servers for all; each test has a stream of its own.
describe('replicated maps over three NATS servers', { ...nats, concurrency: 4 }, () => {
  let site: MapSite;
  before(async () => {
    site = await MapSite.start();
  });
  after(() => site[Symbol.asyncDispose]());

  mapSuite('in a cluster', async (): Promise<MapFixture> => {
    const cluster = await site.nodes(1);
    let [node] = cluster.nodes;
    assert.ok(node);
    const { map, store } = node;
    return {
      map,
      store,
      reopen: async () => {
        await node?.[Symbol.asyncDispose]();
        node = await site.node({ bucket: cluster.bucket, node: 'n0', folder: cluster.folder(0) });
        return node.map;
      },
      [Symbol.asyncDispose]: async () => {
        await node?.[Symbol.asyncDispose]();
        await cluster[Symbol.asyncDispose]();
      },
    };
  });

  test('five nodes see each other’s changes, and come to the same state', async () => {
    await using cluster = await site.nodes(5);
    const { nodes } = cluster;
    await Promise.all(nodes.flatMap(({ map }, i) => [0, 1, 2].map((k) => map.update(`${i}.${k}`, text(`${i}`)))));
    // A node deletes only what it has seen.
    await alike(nodes);
    await nodes[0]?.map.update('4.2', () => undefined);
    await alike(nodes);
    assert.deepEqual([nodes[3]?.map.revision, nodes[3]?.map.entries().length], [16, 14]);
    const info = await site.withNats(async (connection) =>
      (await connection.jetstreamManager()).streams.info(`KV_${cluster.bucket}`),
    );
    assert.deepEqual([info.config.num_replicas, info.config.storage, info.state.messages], [3, 'file', 15]);
  });

  test('of writers of one version exactly one wins, 200 times', async () => {
    await using cluster = await site.nodes(5);
    for (let round = 1; round <= 200; round++) {
      const lost = new Error('lost');
      const results = await Promise.allSettled(
        cluster.nodes.map(({ map }, i) =>
          map.update('x', (now) => {
            if (Number(now?.text ?? 0) >= round) throw lost;
            return { text: String(round), tags: [String(i)] };
          }),
        ),
      );
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1, `round ${round}`);
      assert.ok(results.every((r) => r.status === 'fulfilled' || r.reason === lost));
    }
    await alike(cluster.nodes);
    assert.deepEqual([cluster.nodes[0]?.map.revision, cluster.nodes[0]?.map.get('x')?.version], [200, 200]);
  });

  test('a counter that five nodes increment loses none, and what reads other records is serializable', async () => {
    await using cluster = await site.nodes(5);
    // `even` takes each step only from what `odd` shows: were a node to decide on an old state, they would drift apart.
    await Promise.all(
      cluster.nodes.map(async ({ map }) => {
        for (let i = 0; i < 40; i++) await map.update('n', count);
        for (let i = 0; i < 10; i++) {
          await map.update('mirror', () => ({ text: map.get('n')?.value.text ?? '' }));
          await map.update('n', count);
        }
      }),
    );
    await alike(cluster.nodes);
    const [node] = cluster.nodes;
    assert.equal(node?.map.get('n')?.value.text, '250');
  });

  test('a stream deleted under the nodes is created again, a stream that was changed is repaired', async () => {
    const { log, lines } = logLines();
    await using cluster = await site.nodes(3, log);
    const { nodes } = cluster;
    for (const key of ['a', 'b', 'c']) await nodes[0]?.map.update(key, text(key));
    await alike(nodes);
    const before = nodes.map(shown);
    await losing(nodes, () => site.deleteStream(cluster));
    await following(nodes);
    assert.deepEqual(nodes.map(shown), before);

    // Strangers' messages: none is merged, and what they covered comes back.
    const older = { schema: 1, key: 'b', version: 1, writeId: 'x', previous: [], node: 'x', time: 'x', value: {} };
    await site.inject(cluster, 'a', 'no JSON');
    await site.inject(cluster, 'b', JSON.stringify(older));
    await site.inject(cluster, 'c', JSON.stringify({ ...older, key: 'a', version: 7 }));
    await site.inject(cluster, 'd.e', '{}');
    await site.inject(cluster, 'd', '');
    // The first node that reads one may cover it again before the others have read it.
    const strange = (): unknown[] => lines().flatMap(({ msg, seq }) => (/is not a record/.test(msg) ? [seq] : []));
    await waitFor(() => new Set(strange()).size === 5, { what: 'five strange messages in the log', timeout: 20_000 });
    await using fresh = await site.node({ bucket: cluster.bucket, node: 'fresh', folder: cluster.folder(3) });
    await following([fresh]);
    await alike([...nodes, fresh]);
    assert.deepEqual(nodes.map(shown), before);
    assert.equal((await fresh.map.update('b', text('more'))).version, 2);
    await alike([...nodes, fresh]);
  });

  test('a message that looks like a word of the server is no such word', async () => {
    await using cluster = await site.nodes(1);
    const { log, lines } = logLines();
    await cluster.nodes[0]?.map.update('a', text('a'));
    await site.inject(cluster, 'a', '', headers(409, 'Consumer Deleted'));
    await site.inject(cluster, 'b', '', headers(100, 'Idle Heartbeat'));
    await using fresh = await site.node({ bucket: cluster.bucket, node: 'fresh', folder: cluster.folder(1), log });
    await following([...cluster.nodes, fresh]);
    await alike([...cluster.nodes, fresh]);
    assert.equal(fresh.map.get('a')?.value.text, 'a');
    await fresh.map.update('a', text('more'));
    // A leader of 2.9 may itself stumble over a refused message, and the stream is read anew then.
    const ended = lines().filter(({ problem }) => /ended the delivery/.test(String(problem)));
    assert.deepEqual(ended, []);
  });

  test('a record that a stranger pushed to the highest version can be changed, and others see that', async () => {
    await using cluster = await site.nodes(2);
    const [one, two] = cluster.nodes;
    await insist(one, 'b', text('another'));
    const about = { schema: 1, key: 'a', writeId: 'x', previous: [], node: 'x', time: 'x' };
    await site.inject(cluster, 'a', JSON.stringify({ ...about, version: 2 ** 40, value: { text: 'forged' } }));
    await waitFor(() => cluster.nodes.every(({ map }) => map.get('a') !== undefined), { what: 'the forged record' });
    await insist(one, 'a', text('first'));
    await insist(two, 'a', text('second'));
    await alike(cluster.nodes);
    assert.deepEqual(
      cluster.nodes.map(({ map }) => map.get('a')),
      [1, 2].map(() => ({ key: 'a', version: 2 ** 40 + 2, value: { text: 'second' } })),
    );
    await two?.[Symbol.asyncDispose]();
    await using again = await site.node({ bucket: cluster.bucket, node: 'n1', folder: cluster.folder(1) });
    await following([again]);
    assert.equal(again.map.get('a')?.value.text, 'second');
  });

  test('a record of a newer program is ignored, not written over', async () => {
    await using cluster = await site.nodes(2);
    const [node] = cluster.nodes;
    await insist(node, 'a', text('old'));
    const newer = {
      schema: 1,
      key: 'a',
      version: 2,
      writeId: 'x',
      previous: [],
      node: 'x',
      time: 'x',
      value: { t: 1 },
    };
    await site.inject(cluster, 'a', JSON.stringify(newer));
    await waitFor(
      async () => {
        const code = await node?.map.update('a', (now) => now).catch((error: SealpostError) => error.code);
        return code === 'unreadable-record';
      },
      { what: 'the record to be known' },
    );
    assert.equal(node?.map.get('a')?.value.text, 'old');
    await insist(node, 'b', text('goes on'));
    const stored = await site.withNats(async (connection) => {
      const jsm = await connection.jetstreamManager();
      return (
        await jsm.streams.getMessage(`KV_${cluster.bucket}`, { last_by_subj: `$KV.${cluster.bucket}.a` })
      ).string();
    });
    assert.deepEqual(JSON.parse(stored), newer);
  });

  test('a node that lost its LevelDB, or a record in it, gets it again', async () => {
    await using cluster = await site.nodes(3);
    const { nodes, folder } = cluster;
    for (const key of ['a', 'b', 'c']) await nodes[0]?.map.update(key, text(key));
    await alike(nodes);
    const before = nodes.map(shown);
    await nodes[1]?.store.write([{ type: 'put', key: 'map!record!b', value: Buffer.from('rubbish') }]);
    await nodes[1]?.[Symbol.asyncDispose]();
    await nodes[2]?.[Symbol.asyncDispose]();
    await rm(folder(2), { recursive: true });
    for (const i of [1, 2]) nodes[i] = await site.node({ bucket: cluster.bucket, node: `n${i}`, folder: folder(i) });
    await following(nodes);
    assert.deepEqual(nodes.map(shown), before);
  });

  test('what the stream took and the disk did not is told, and kept', async () => {
    await using cluster = await site.nodes(2);
    const [node, full] = cluster.nodes;
    assert.ok(node && full);
    const folder = cluster.folder(1);
    const batch = Level.prototype.batch;
    const broken = mock.method(Level.prototype, 'batch', function (this: Level, ...args: never[]) {
      const failure = new Error('No space left on device');
      return this.location === folder ? Promise.reject(failure) : Reflect.apply(batch, this, args);
    });
    try {
      await assert.rejects(full.map.update('n', tag('a')), {
        ...{ code: 'store-failed', message: /the change was made in the cluster.*No space left/ },
      });
      await waitFor(() => node.map.get('n') !== undefined, { what: 'the change elsewhere', timeout: 20_000 });
      await insist(node, 'n', tag('b'));
      assert.deepEqual([full.map.state, full.map.get('n')], ['behind', undefined]);
      assert.match(full.map.problem ?? '', /cannot store changes/);
      await assert.rejects(full.map.update('n', tag('c')), { code: 'store-failed', message: /this node cannot store/ });
    } finally {
      broken.mock.restore();
    }
    await following(cluster.nodes);
    await alike(cluster.nodes);
    assert.deepEqual((await full.map.update('n', tag('d'))).value?.tags, ['a', 'b', 'd']);
  });

  test('a node that was away catches up and brings back nothing that was deleted', async () => {
    await using cluster = await site.nodes(3);
    const { nodes } = cluster;
    await using cable = await Cable.start(site.server(0).port);
    await using far = await site.node({
      bucket: cluster.bucket,
      node: 'far',
      folder: cluster.folder(3),
      servers: [cable.url],
    });
    await following([far]);
    for (const key of ['a', 'b', 'c']) await nodes[0]?.map.update(key, text(key));
    await alike([...nodes, far]);
    cable.cut();
    await waitFor(() => far.map.state === 'away', { what: 'the node to notice' });
    await nodes[1]?.map.update('a', () => undefined);
    await nodes[2]?.map.update('b', text('changed'));
    await assert.rejects(far.map.update('c', text('mine')), { code: 'no-quorum' });
    // Also when the stream is lost before it is back, and it is the first to restore it.
    await site.deleteStream(cluster);
    cable.mend();
    await following([...nodes, far]);
    await alike([...nodes, far]);
    assert.equal(far.map.get('a'), undefined);
    assert.deepEqual(
      far.map.entries().map(({ value }) => value.text),
      ['changed', 'c'],
    );
    assert.equal(far.map.revision, 5);
  });

  test('a lost answer: it is found out whether the change was made', async () => {
    await using cluster = await site.nodes(1);
    await using cable = await Cable.start(site.server(0).port);
    await using far = await site.node({
      bucket: cluster.bucket,
      node: 'far',
      folder: cluster.folder(1),
      servers: [cable.url],
    });
    await following([far]);
    for (let round = 1; round <= 3; round++) {
      const change = far.map.update('n', (now) => {
        // The message is on its way when the line falls silent; its answer never comes through this connection.
        setTimeout(() => cable.silence(), round - 1);
        return count(now);
      });
      setTimeout(() => cable.cut(), 100);
      setTimeout(() => cable.mend(), 200);
      assert.deepEqual((await change).value, { text: String(round) });
    }
    await alike([...cluster.nodes, far]);
    assert.deepEqual([far.map.get('n')?.value.text, far.map.revision], ['3', 3]);
  });

  test('records that went separate ways: the stream’s stays, the other is set aside and reported', async () => {
    const { log, lines } = logLines();
    await using cluster = await site.nodes(1);
    const folder = cluster.folder(1);
    const alone = await site.node({ bucket: cluster.bucket, node: 'alone', folder, log });
    await following([alone]);
    await alone.map.update('a', text('first'));
    await alike([...cluster.nodes, alone]);
    await alone[Symbol.asyncDispose]();
    // It goes on by itself, as after a bus was taken out of its configuration.
    const store = await Store.open(folder, log);
    const local = await ReplicatedMap.open({
      ...{
        store,
        prefix: 'map!',
        bucket: cluster.bucket,
        schema: Note,
        node: 'alone',
        log,
        jetStream: undefined,
        replicas: 3,
      },
    });
    await local.update('a', text('its own'));
    await local.update('b', text('kept'));
    await local.close();
    await store.close();
    await insist(cluster.nodes[0], 'a', text('the others’'));
    await using back = await site.node({ bucket: cluster.bucket, node: 'alone', folder, log });
    await following([back]);
    await alike([...cluster.nodes, back]);
    assert.deepEqual(
      back.map.entries().map(({ value }) => value.text),
      ['the others’', 'kept'],
    );
    const [conflict] = lines().filter(({ msg }) => /conflicts with the cluster/.test(msg));
    assert.deepEqual([conflict?.level, conflict?.['record'], conflict?.['version']], ['error', 'a', 2]);
    assert.match(String(await back.store.get(String(conflict?.['setAside']))), /its own/);
  });
});

for (const [what, server, replicas, problem] of [
  ['without JetStream', {}, 1, /NATS has no JetStream: start its servers with -js/],
  ['that is alone, for three replicas', { jetStream: true }, 3, /cannot keep 3 replicas: set bus\.replicas to 1/],
] as const) {
  test(`a NATS server ${what} is a clear problem`, nats, async () => {
    await using nats = await startNatsServer(server);
    await using dir = await tempDir();
    await using node = await MapNode.start({
      ...{ schema: Note, node: 'a', bucket: 'notes', folder: dir.path, servers: [nats.url], replicas },
    });
    await waitFor(() => problem.test(node.map.problem ?? ''), { what: 'the problem to be told' });
    assert.equal(node.map.state, 'away');
    await assert.rejects(node.map.update('n', count), { code: 'no-quorum', message: problem });
  });
}

test('one NATS server is enough for one replica', nats, async () => {
  await using server = await startNatsServer({ jetStream: true });
  await using dir = await tempDir();
  await using node = await MapNode.start({
    ...{ schema: Note, node: 'a', bucket: 'notes', folder: dir.path, servers: [server.url], replicas: 1 },
  });
  assert.equal((await node.map.update('n', count)).revision, 1);
  assert.equal(node.map.state, 'following');
});

test('a record that NATS does not carry is refused, and nothing else suffers', nats, async () => {
  await using server = await startNatsServer({ jetStream: true, config: 'max_payload: 65536' });
  await using dir = await tempDir();
  await using node = await MapNode.start({
    ...{ schema: Note, node: 'a', bucket: 'notes', folder: dir.path, servers: [server.url], replicas: 1 },
  });
  await assert.rejects(node.map.update('n', text('x'.repeat(70_000))), { code: 'too-large', message: /max_payload/ });
  assert.equal(node.map.state, 'following');
  assert.equal((await node.map.update('n', text('x'.repeat(50_000)))).revision, 1);
});
