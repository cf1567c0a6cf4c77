import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { CREDENTIALS_BUCKET, credentialStoreContract } from '#services/credential-store/contract.ts';
import { CredentialRecord, domainKey } from '#services/credential-store/records/domain-record.ts';
import { silentLogger } from '#shared/log.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { activeKey, startNode } from '#test/unit/credential-store/fixture.ts';
import { domainOf } from '#test/unit/credential-store/neks/fixture.ts';

const node = (name: string) => ({ node: name });

test('beside a store of the version before, records without a MAC are taken; when it is gone all get one, and none is taken', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using folder = await tempDir();
  await using nats = await startNatsServer({ jetStream: true });
  const servers = [nats.url];
  const connect = (name: string) => NatsBus.connect({ servers, node: name, log: silentLogger });
  const common = { schema: CredentialRecord, bucket: CREDENTIALS_BUCKET, servers, replicas: 1 };

  // The disk of edge-1 as the version before left it.
  const data = join(folder.path, 'edge-1');
  await mkdir(data);
  const credentials = join(data, 'credentials');
  {
    await using before = await MapNode.start<CredentialRecord>({ ...common, node: 'edge-1', folder: credentials });
    for (const name of ['a.example', 'b.example']) {
      await before.map.update(domainKey(name), () => ({ kind: 'domain', ...domainOf(name) }));
    }
    await before.map.update(domainKey('b.example'), () => undefined);
  }

  const old = await MapNode.start<CredentialRecord>({ ...common, node: 'edge-0', folder: join(folder.path, 'old') });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => old[Symbol.asyncDispose]());
  const oldBus = await connect('edge-0');
  undo.defer(() => oldBus.drain());
  const announce = announcer(oldBus, credentialStoreContract);
  const alive = setInterval(() => {
    const { revision } = old.map;
    announce('present', { node: 'edge-0', instance: '0', revision, time: Date.now(), neks: [] });
  }, 500);
  undo.defer(() => clearInterval(alive));

  const config = { bus: { servers } };
  await using a = await startNode(data, { name: 'edge-1', bus: await connect('edge-1'), config });
  const status = () => a.calls['status-show']({}, node('edge-1'));
  await waitFor(async () => (await status()).holders.some((h) => h.node === 'edge-0'), { what: 'the old store' });
  await activeKey(a, 's1', 'example.com');
  await waitFor(() => old.map.get(domainKey('example.com'))?.value, { what: 'the old store to have the new key' });
  // The old store writes: the new one takes it, and neither fights the other.
  await old.map.update(domainKey('a.example'), () => ({ kind: 'domain', ...domainOf('a.example'), used: [] }));
  await waitFor(async () => (await status()).revision === old.map.revision, { what: 'one revision' });
  assert.deepEqual([(await status()).sealed, (await status()).refused], [false, undefined]);

  clearInterval(alive);
  await waitFor(async () => (await status()).sealed, { what: 'the seal', timeout: 30_000 });
  await waitFor(async () => (await status()).revision === old.map.revision, { what: 'the old one to see that' });
  const { version } = old.map.get(domainKey('a.example')) ?? {};
  assert.equal(version, 3);

  // It is on its own now: what it writes is refused, and written over.
  await old.map.update(domainKey('a.example'), () => ({ kind: 'domain', ...domainOf('a.example'), used: [] }));
  const refused = await waitFor(async () => (await status()).refused, { what: 'the refusal' });
  assert.deepEqual(
    refused.map(({ record, writer, held }) => [record, writer, held]),
    [['a.example', 'edge-0', true]],
  );
  assert.match(refused[0]?.reason ?? '', /has no MAC/);
});

test('a store that starts empty never takes a record without a MAC; one that went back to the version before loses nothing', async () => {
  await using folder = await tempDir();
  {
    await using a = await startNode(folder.path);
    assert.equal((await a.calls['status-show']({})).sealed, true);
    await activeKey(a, 's1', 'example.com');
  }
  {
    const store = await Store.open(join(folder.path, 'credentials'), silentLogger);
    const before = await ReplicatedMap.open<CredentialRecord>({
      ...{ store, prefix: 'map!', bucket: CREDENTIALS_BUCKET, schema: CredentialRecord, node: 'edge-1' },
      ...{ log: silentLogger, jetStream: undefined, replicas: 1 },
    });
    await before.update(domainKey('a.example'), () => ({ kind: 'domain', ...domainOf('a.example') }));
    await before.close();
    await store.close();
  }
  await using a = await startNode(folder.path);
  assert.equal((await a.calls['status-show']({})).refused, undefined);
  await waitFor(async () => (await a.calls['schedule-set']({ domain: 'a.example', days: 90 })).schedule, {
    what: 'a change of the domain that the version before made',
  });
});
