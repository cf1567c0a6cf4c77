import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { verifyProof } from '#shared/dkim/prove.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FakeCredentialStore } from '#test/unit/signer/fake-store.ts';

/** A signer of node edge-1 and the credential-stores of edge-1 and edge-2, each with a connection of its own. */

const log = silentLogger;

async function startCluster() {
  await using undo = new AsyncDisposableStack();
  const nats = undo.use(await startNatsServer());
  const data = undo.use(await tempDir());
  const nekFile = join(data.path, 'nek.key');
  const text = generateNek('edge');
  await writeFile(nekFile, text, { mode: 0o600 });

  const connect = async (node: string): Promise<NatsBus> => {
    const bus = await NatsBus.connect({ servers: [nats.url], node, log });
    undo.defer(() => bus.drain());
    return bus;
  };
  const store = async (node: string) => {
    const bus = await connect(node);
    const fake = new FakeCredentialStore(node, parseNek(text), announcer(bus, credentialStoreContract));
    const actor = serve(bus, fake.service, log);
    return { bus, fake, close: () => actor.close() };
  };
  const [own, other] = [await store('edge-1'), await store('edge-2')];
  await own.fake.create('example.com', 's1', 'ed25519');
  other.fake.follow(own.fake);

  const bus = await connect('edge-1');
  const config = { bus: { servers: [nats.url] }, credentials: { nek: nekFile } };
  const signer = createSignerService({
    settings: new Settings(ConfigSchema.parse(config)),
    log,
    credentials: client(bus, credentialStoreContract),
    onStores: listen(bus, credentialStoreContract, log),
    announce: announcer(bus, signerContract),
  });
  undo.defer(() => signer.stop());
  serve(bus, signer, log);
  const signing = client(bus, signerContract);
  /** Waits for a revision, and says whose store it came from. */
  const from = async (revision: number): Promise<string | undefined> => {
    await waitFor(async () => (await signing['status-show']({})).revision === revision, {
      what: `revision ${revision}`,
      timeout: 10_000,
    });
    return (await signing['status-show']({})).store;
  };
  const resources = undo.move();
  return { nats, own, other, signer, signing, from, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

test(
  'over NATS a signer gets its keys from its own store, else from another one, and never goes back',
  needs('nats-server'),
  async () => {
    await using cluster = await startCluster();
    const { own, other, signing, from } = cluster;
    await cluster.signer.start();
    assert.equal(await from(1), 'edge-1');

    own.fake.failure = 'not-caught-up';
    await other.fake.create('example.com', 's2', 'ed25519');
    assert.equal(await from(2), 'edge-2');

    own.close();
    await other.fake.create('example.com', 's3', 'ed25519', 'created');
    assert.equal(await from(3), 'edge-2');
    assert.equal((await signing['status-show']({})).upToDate, true);

    // Another node's credential-store asks this signer, and no other, whether it has the new key.
    const challenge = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ';
    const asker = client(other.bus, signerContract);
    const answer = await asker['key-prove']({ domain: 'example.com', selector: 's3', challenge }, { node: 'edge-1' });
    const key = other.fake.keys[2];
    assert.ok(key);
    verifyProof(key, challenge, answer);

    // The own store is back with nothing in it.
    own.fake.failure = undefined;
    own.fake.keys.length = 0;
    serve(own.bus, own.fake.service, log);
    own.fake.changed(0);
    other.fake.changed(4);
    assert.equal(await from(4), 'edge-2');
    own.fake.follow(other.fake);
    own.fake.changed(5);
    assert.equal(await from(5), 'edge-1');
  },
);

test(
  'while NATS is away a signer keeps its keys; then it catches up with what it missed',
  needs('nats-server'),
  async () => {
    await using cluster = await startCluster();
    const { nats, own, signing, from } = cluster;
    await cluster.signer.start();
    await from(1);
    await nats.stop();
    await own.fake.create('example.com', 's2', 'ed25519');
    assert.deepEqual([(await signing['status-show']({})).keys, (await signing['status-show']({})).revision], [1, 1]);
    await nats.restart();
    // The announcement was lost: the next one brings it, as a store makes one each second.
    await waitFor(
      async () => {
        own.fake.changed(own.fake.revision);
        return (await signing['status-show']({})).keys === 2;
      },
      { what: 'the second key', timeout: 20_000 },
    );
    assert.equal((await signing['status-show']({})).behind, undefined);
  },
);
