import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Neks } from '#services/credential-store/neks/neks.ts';
import { pendingKeys } from '#services/credential-store/neks/rewrap.ts';
import { type CredentialRecord, CredentialRecord as schema } from '#services/credential-store/records/domain-record.ts';
import { Records } from '#services/credential-store/records/records.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { domainOf, holder, keyUnder, nekOf, openAll } from '#test/unit/credential-store/neks/fixture.ts';

/** Named encryption keys over three NATS servers: several nodes concurrently, and no majority in the middle. */

const NEKS = ['old', 'next'].map(nekOf) as [Nek, Nek];
const [old, next] = NEKS;
const DOMAINS = Array.from({ length: 12 }, (_, i) => `d${i}.example`);

/** A node that thinks itself the first: it re-wraps at every change, whatever the others do. */
async function startNode(node: string, folder: string, servers: string[]) {
  const mapNode = await MapNode.start<CredentialRecord>({ schema, node, bucket: 'neks', folder, servers });
  const records = new Records(mapNode.map);
  const live = () => [holder(node, 'credential-store', NEKS)];
  const neks = new Neks({
    node,
    log: silentLogger,
    records,
    configured: async () => NEKS,
    live,
    directory: NO_DIRECTORY,
  });
  const stop = mapNode.map.onChange(() => void neks.resume());
  const close = async () => {
    stop();
    await mapNode[Symbol.asyncDispose]();
  };
  return { records, neks, map: mapNode.map, [Symbol.asyncDispose]: close };
}

const following = (...nodes: Awaited<ReturnType<typeof startNode>>[]) =>
  waitFor(() => nodes.every((n) => n.map.state === 'following'), { what: 'nodes that follow', timeout: 30_000 });

const NO_DIRECTORY = { wrappedBy: () => 0, without: () => 0, readers: () => [] };

test(
  'three nodes re-wrap concurrently while keys come and go; an outage in the middle only delays it',
  needs('nats-server'),
  async () => {
    await using folder = await tempDir();
    await using nats = await startNatsCluster(3);
    const servers = nats.servers.map((s) => s.url);
    const start = (name: string) => startNode(name, join(folder.path, name), servers);
    await using a = await start('edge-1');
    await using b = await start('edge-2');
    await using c = await start('edge-3');
    await following(a, b, c);

    // Two nodes begin the store with different NEKs: one is first, the other learns it.
    const [first, second] = await Promise.allSettled([a.neks.use('old'), b.neks.use('next')]);
    assert.deepEqual([first.status, second.status].sort(), ['fulfilled', 'rejected']);
    if (first.status === 'rejected') await a.neks.rotate('old');
    const add = (records: Records, domain: string, selector: string, nek: Nek) =>
      records.update(domain, (record) => domainOf(domain, ...(record?.keys ?? []), keyUnder(nek, domain, selector)));
    for (const domain of DOMAINS) await add(b.records, domain, 's1', old);

    const rotation = a.neks.rotate('next');
    await Promise.all(DOMAINS.slice(0, 4).map((domain) => add(c.records, domain, 's2', old)));
    await rotation;
    await waitFor(() => [a, b, c].every((n) => pendingKeys(n.records).length === 0), {
      what: 'keys under the next NEK on every node',
      timeout: 30_000,
    });
    for (const { records } of [a, b, c]) assert.equal(openAll(records, [next]), DOMAINS.length + 4);
    await a.neks.delete('old');

    // Without a majority nothing changes, and every key opens. The same again finishes it.
    await c.neks.rotate('old');
    const [, lost, gone] = nats.servers;
    await Promise.all([lost?.stop(), gone?.stop()]);
    await assert.rejects(
      b.neks.rotate('next'),
      (error) => error instanceof SealpostError && error.code === 'no-quorum',
    );
    for (const { records } of [a, b, c]) assert.equal(openAll(records, NEKS), DOMAINS.length + 4);
    await Promise.all([lost?.restart(), gone?.restart()]);
    await following(a, b, c);
    await b.neks.rotate('next');
    await waitFor(() => [a, b, c].every((n) => n.records.revision === a.records.revision), { what: 'one revision' });
    for (const { records } of [a, b, c]) assert.equal(openAll(records, [next]), DOMAINS.length + 4);
  },
);
