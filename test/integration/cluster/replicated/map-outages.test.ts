import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SealpostError } from '#shared/errors.ts';
import { alike, following, insist, losing, MapSite, shown, tag, text } from '#test/kit/bus/map-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Replicated maps while NATS servers are killed, stopped and wiped. Each test has servers of its own. */

describe('replicated maps and outages of NATS', { ...needs('nats-server'), concurrency: 3 }, () => {
  test('servers that are killed, the leader among them, cost no change', async () => {
    await using site = await MapSite.start();
    await using cluster = await site.nodes(5);
    const { nodes } = cluster;
    const made = ['first'];
    const victim = await site.leader(cluster);
    await insist(nodes[0], 'n', tag('first'));
    await alike(nodes);
    await victim.kill();
    // Nodes of the killed server have nowhere to go; the others go on.
    const others = nodes.filter((_, i) => site.server(i) !== victim);
    for (const [i, node] of others.entries()) {
      await insist(node, 'n', tag(`${i}`));
      made.push(`${i}`);
    }
    const lone = nodes.find((_, i) => site.server(i) === victim);
    const seen = await lone?.map.update('n', tag('lone')).catch((error: SealpostError) => error);
    assert.ok(seen instanceof Error);
    assert.match(seen.message, /until a majority of the NATS servers is back; signing goes on/);
    assert.equal(lone?.map.state, 'away');
    assert.deepEqual(lone.map.get('n')?.value.tags, ['first']);

    await victim.restart();
    await following(nodes);
    await alike(nodes);
    await Promise.all(site.servers.map((server) => server.kill()));
    const message = /no NATS server can be reached/;
    await waitFor(() => nodes.every(({ map }) => map.state === 'away' && message.test(map.problem ?? '')), {
      what: 'all nodes to notice',
    });
    await assert.rejects(nodes[1]?.map.update('n', tag('nobody')) ?? Promise.resolve(), { code: 'no-quorum', message });
    await Promise.all(site.servers.map((server) => server.restart()));
    await following(nodes);
    await insist(nodes[2], 'n', tag('last'));
    await alike(nodes);
    assert.deepEqual(nodes[4]?.map.get('n')?.value.tags, [...made, 'last']);
  });

  test('a majority that is paused is noticed, and so is its return', async () => {
    await using site = await MapSite.start();
    await using cluster = await site.nodes(1);
    const [node] = cluster.nodes;
    await insist(node, 'n', tag('first'));
    await site.server(1).pause();
    await site.server(2).pause();
    try {
      await assert.rejects(node?.map.update('n', tag('unknown')) ?? Promise.resolve(), {
        ...{ code: 'no-quorum', message: /not known whether the change was made.*are most of the NATS servers up\?/ },
      });
      assert.equal(node?.map.state, 'away');
      assert.deepEqual(node.map.get('n')?.value.tags, ['first']);
    } finally {
      site.server(1).resume();
      site.server(2).resume();
    }
    // The change without answer may still be made; what comes after it sees it then.
    const { value, revision } = await insist(node, 'n', tag('more'));
    const tags = value?.tags ?? [];
    assert.deepEqual([tags[0], tags.at(-1), tags.length], ['first', 'more', revision]);
    assert.deepEqual(
      tags.slice(1, -1).filter((name) => name !== 'unknown'),
      [],
    );
  });

  test('JetStream’s storage wiped: the nodes restore it', async () => {
    await using site = await MapSite.start();
    await using cluster = await site.nodes(3);
    const { nodes } = cluster;
    for (let i = 0; i < 100; i++) await nodes[i % 3]?.map.update(`k${i}`, text(String(i)));
    await nodes[0]?.map.update('k7', () => undefined);
    await alike(nodes);
    const before = nodes.map(shown);
    await losing(nodes, async () => {
      await Promise.all(site.servers.map((server) => server.kill()));
      for (const server of site.servers) await server.wipe();
      await Promise.all(site.servers.map((server) => server.restart()));
    });
    await following(nodes);
    assert.deepEqual(nodes.map(shown), before);
    const empty = await site.node({ bucket: cluster.bucket, node: 'new', folder: cluster.folder(3) });
    await following([empty]);
    assert.equal(shown(empty), before[0]);
    await insist(empty, 'k7', text('again'));
    await alike([...nodes, empty]);
    assert.equal(nodes[1]?.map.get('k7')?.version, 3);
    await empty[Symbol.asyncDispose]();
  });
});
