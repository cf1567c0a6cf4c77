import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { parseNek } from '#shared/dkim/nek.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  earlierKey,
  earlierRecord,
  earlierRecords,
  recordOf,
  writeEarlierStore,
} from '#test/unit/credential-store/earlier-fixture.ts';
import { ed25519, fails, NEK, type StoreNode, startNode } from '#test/unit/credential-store/fixture.ts';

/** Nodes that were updated from a version that knew no cluster, each with keys of its own, over a real nats-server. */

const nek = parseNek(NEK);

async function write(data: string, keys: SigningKey[]): Promise<void> {
  await mkdir(data, { recursive: true });
  await writeEarlierStore(data, new Map(keys.map((key) => [recordOf(key), earlierRecord(key)])));
}

async function start(name: string, data: string, url: string, log: Logger = silentLogger): Promise<StoreNode> {
  const bus = await NatsBus.connect({ servers: [url], node: name, log: silentLogger });
  return startNode(data, { name, bus, log, config: { bus: { servers: [url] } } });
}

const listed = async (node: StoreNode, name: string): Promise<string[]> => {
  const { keys } = await node.calls['key-list']({}, { node: name });
  return keys.map((k) => `${k.selector} ${k.domain} ${k.state} ${k.fingerprint}`);
};

test(
  'each node brings its keys, all nodes sign with all; of two under one name the first stays, and the other is not lost',
  needs('nats-server'),
  async () => {
    await using folder = await tempDir();
    await using nats = await startNatsServer({ jetStream: true });
    const names = ['edge-1', 'edge-2', 'edge-3'] as const;
    const data = (name: string): string => join(folder.path, name);
    const keys = {
      'edge-1': [await earlierKey(nek, 'example.com', 's1'), await earlierKey(nek, 'a.example', 's1')],
      'edge-2': [await earlierKey(nek, 'example.com', 's2'), await earlierKey(nek, 'example.com', 's4')],
      'edge-3': [await earlierKey(nek, 'example.com', 's1'), await earlierKey(nek, 'example.com', 's3')],
    };
    // One key was copied from a node to the other by hand.
    keys['edge-1'].push(...keys['edge-2'].slice(1));
    for (const name of names) await write(data(name), keys[name]);
    const { log, lines } = logLines();
    {
      const [one, two, three] = names.map((name) => start(name, data(name), nats.url, log)) as [
        Promise<StoreNode>,
        Promise<StoreNode>,
        Promise<StoreNode>,
      ];
      await using a = await one;
      await using b = await two;
      await using c = await three;
      const shown = await waitFor(
        async () => {
          const all = await Promise.all([listed(a, 'edge-1'), listed(b, 'edge-2'), listed(c, 'edge-3')]);
          return new Set(all.map(String)).size === 1 && all[0]?.length === 5 && all[0];
        },
        { what: 'every node to have every key', timeout: 30_000 },
      );
      assert.deepEqual(
        shown.map((line) => line.split(' ').slice(0, 3).join(' ')),
        ['s1 a.example', 's1 example.com', 's2 example.com', 's3 example.com', 's4 example.com'].map(
          (k) => `${k} active`,
        ),
      );
      for (const selector of ['s1', 's2', 's3', 's4']) {
        await waitFor(
          async () => (await a.calls['key-show']({ domain: 'example.com', selector })).nodes.holding.length === 3,
          {
            ...{ what: `every signer to hold ${selector}`, timeout: 20_000 },
          },
        );
        const verified = await a.calls['key-verify']({ domain: 'example.com', selector });
        assert.deepEqual(verified.unproven, []);
      }
    }
    const left = await Promise.all(names.map((name) => earlierRecords(data(name))));
    const [lost, ...more] = left.flatMap((records) => [...records]);
    assert.deepEqual([lost?.[0], more], ['key!example.com!s1', []]);
    const stayed = JSON.parse(lost?.[1].toString() ?? '').key.fingerprint;
    const told = lines().filter((l) => l.level === 'error' && l['fingerprint'] === stayed);
    assert.equal(told.length, 1);
    const both = [keys['edge-1'][0]?.fingerprint, keys['edge-3'][0]?.fingerprint];
    assert.deepEqual([told[0]?.['cluster'], stayed].sort(), both.sort());
  },
);

test(
  'while NATS is away the node signs with its earlier keys and changes nothing; they are taken over when it is back',
  needs('nats-server'),
  async () => {
    await using folder = await tempDir();
    await using nats = await startNatsServer({ jetStream: true });
    const key = await earlierKey(nek, 'example.com', 's1');
    await write(folder.path, [key]);
    await nats.stop();
    const name = { domain: 'example.com', selector: 's1' };
    {
      await using node = await start('edge-1', folder.path, nats.url);
      const { keys, behind } = await node.calls['signing-key-list']({});
      assert.deepEqual(keys, [key]);
      assert.ok(behind);
      assert.deepEqual(await listed(node, 'edge-1'), [`s1 example.com active ${key.fingerprint}`]);
      await assert.rejects(node.calls['key-create'](ed25519('s2')), fails('no-quorum'));
      await nats.restart();
      await waitFor(() => node.calls['key-show'](name), { what: 'the key to be taken over', timeout: 30_000 });
      // The record is there a moment before the old one is gone.
      await waitFor(() => node.calls['key-create']({ ...ed25519('s2'), activate: false }), {
        what: 'a change to be taken',
      });
      await waitFor(async () => (await node.calls['signing-key-list']({})).keys.length === 2, { what: 'both keys' });
    }
    assert.deepEqual(await earlierRecords(folder.path), new Map());
  },
);
