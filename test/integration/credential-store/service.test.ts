import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { dkimRecordValue } from '#shared/dkim/record.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { ed25519, fails, reaches, type StoreNode, startNode } from '#test/unit/credential-store/fixture.ts';

/** The services of three nodes over a real nats-server, with a zone of BIND that they update. */

const domain = 'example.com';
const NAMES = ['edge-1', 'edge-2', 'edge-3'];

test(
  'a key is made on one node and signs on all; of two rotations started concurrently on two nodes one wins',
  needs('nats-server', 'named'),
  async () => {
    await using folder = await tempDir();
    await using nats = await startNatsServer({ jetStream: true });
    await using zones = await ZoneServers.start({ [domain]: '' });
    const start = async (name: string): Promise<StoreNode> => {
      const data = join(folder.path, name);
      await mkdir(data);
      const bus = await NatsBus.connect({ servers: [nats.url], node: name, log: silentLogger });
      const node = await startNode(data, { name, bus, config: { bus: { servers: [nats.url] }, domains: [] } });
      node.settings.replace({ ...node.settings.current, dns: zones.dns() });
      return node;
    };
    const [one, two, three] = NAMES.map(start) as [Promise<StoreNode>, Promise<StoreNode>, Promise<StoreNode>];
    await using a = await one;
    await using b = await two;
    await using c = await three;
    const own = (name: string) => ({ node: name });

    const made = await a.calls['key-create'](ed25519('s1'), own('edge-1'));
    assert.equal(made.publish, 'update');
    await assert.rejects(b.calls['key-create'](ed25519('s1'), own('edge-2')), fails('exists', 's1'));
    const active = await reaches(c, 's1', 'active');
    await zones.settled('s1._domainkey.example.com', [dkimRecordValue(active)]);
    const { views, unproven } = await b.calls['key-verify']({ domain, selector: 's1' }, own('edge-2'));
    assert.deepEqual(
      views.map((v) => [v.node, v.verdict]),
      NAMES.map((name) => [name, 'ok']),
    );
    assert.deepEqual(unproven, []);

    const both = await Promise.allSettled([
      b.calls['rotation-start']({ domain, to: ['b2'] }, own('edge-2')),
      c.calls['rotation-start']({ domain, to: ['c2'] }, own('edge-3')),
    ]);
    const [won] = both.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));
    const [lost, ...more] = both.flatMap((r) => (r.status === 'rejected' ? [r.reason] : []));
    assert.ok(won, JSON.stringify(both.map((r) => (r.status === 'rejected' ? String(r.reason) : 'won'))));
    assert.deepEqual(more, []);
    assert.ok(fails('rotation-under-way', domain, won.by)(lost));
    const done = await waitFor(
      async () => {
        const rotation = await a.calls['rotation-show']({ domain }, own('edge-1'));
        return rotation.state === 'done' && rotation;
      },
      { what: 'the rotation to be done', timeout: 60_000 },
    );
    assert.equal(done.id, won.id);
    const to = won.to[0]?.selector ?? '';
    for (const [i, node] of [a, b, c].entries()) {
      await waitFor(
        async () => {
          const { keys } = await node.calls['key-list']({}, own(NAMES[i] ?? ''));
          return keys.map((k) => `${k.selector} ${k.state}`).join() === `${to} active,s1 retiring`;
        },
        { what: `${NAMES[i]} to show it`, timeout: 20_000 },
      );
    }
  },
);
