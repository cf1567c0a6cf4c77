import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Snapshot } from '#cluster/snapshot.ts';
import { Store } from '#cluster/store.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { Recovery } from '#services/router/store/recovery.ts';
import { Slots } from '#services/router/store/slots.ts';
import { silentLogger } from '#shared/log.ts';
import { fill } from '#test/bench/scale/fill.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { codeOf, envelope, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** A queue that is read while mail comes and goes. */

const MESSAGES = 9000;
const HOUR_MS = 3_600_000;

test('mail is taken and delivered while the queue is read, and every message is found once', async () => {
  await using folder = await tempDir();
  const dueIn = (n: number): number => (n % 3 === 0 ? -1000 : HOUR_MS);
  await fill({ folder: folder.path, messages: MESSAGES, destinations: 50, size: 500, dueIn });
  const delivered: string[] = [];
  await using router = await TestRouter.start(folder.path, {
    patienceMs: 0,
    prepare({ delivery }) {
      delivery.automatic = async (given) => {
        delivered.push(given.job.queueId);
        await given.end('delivered', OK);
      };
    },
  });
  const during = await router.status();
  assert.equal(during.reading, true);
  const { handlers } = router.service;
  assert.equal(await codeOf(async () => handlers['message-list']({ limit: 1 }, router.context())), 'unavailable');
  assert.equal(await codeOf(async () => handlers['message-hold']({ all: true }, router.context())), 'unavailable');
  assert.equal(await codeOf(async () => handlers['copy-forget']({ node: 'edge-2' }, router.context())), 'unavailable');
  const id = await router.send({ envelope: envelope(['new@peer.example']) });
  await waitFor(async () => (await router.status()).reading === undefined, { what: 'all to be read' });
  await waitFor(() => delivered.length === MESSAGES / 3 + 1, { what: 'all that is due' });
  assert.equal(new Set(delivered).size, delivered.length, 'each once');
  assert.ok(delivered.includes(id));
  await waitFor(async () => (await router.status()).active === 0, { what: 'the outcomes on disk' });
  const after = await router.status();
  assert.deepEqual([after.active, after.deferred, after.corrupt], [0, (MESSAGES * 2) / 3, 0]);
  assert.equal((await handlers['message-hold']({ all: true }, router.context())).count, after.deferred);
});

test('a router that stops while it reads stops soon, and the next start finds everything', async () => {
  await using folder = await tempDir();
  await fill({ folder: folder.path, messages: MESSAGES, destinations: 50, size: 500, dueIn: () => HOUR_MS });
  const first = await TestRouter.start(folder.path, { patienceMs: 0 });
  assert.equal((await first.status()).reading, true);
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  await waitFor(async () => (await second.status()).deferred === MESSAGES, { what: 'all of it' });
});

test('a store that fails while it is read is read on, and what came since is not found twice', async () => {
  await using folder = await tempDir();
  await fill({ folder: folder.path, messages: MESSAGES, destinations: 50, size: 500, dueIn: () => HOUR_MS });
  const log = silentLogger;
  await using opened = await open(join(folder.path, 'queue'));
  const { store } = opened;
  let snapshots = 0;
  const failing = new Proxy(store, {
    get(target, name) {
      if (name === 'snapshot') return () => (snapshots++ === 0 ? broken(target.snapshot()) : target.snapshot());
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const slots = new Slots();
  const recovery = new Recovery({
    store: failing,
    slots,
    corrupt: new Corrupt(store, slots, log),
    knownHop: () => '',
    log,
  });
  await recovery.begin(0);
  assert.equal(recovery.done, false);
  const committed = '~NEW';
  await store.write([putJson(keys.message(committed), {}), putJson(keys.recipient(committed, 0), {})]);
  const found: string[] = [];
  assert.equal(await recovery.finish((slot) => found.push(slot.id)), true);
  assert.equal(snapshots, 2);
  assert.equal(slots.counts.deferred, MESSAGES);
  assert.equal(slots.get(committed), undefined, 'it has its own way into the queue');
  assert.equal(new Set(found).size, found.length);
});

async function open(folder: string): Promise<AsyncDisposable & { store: Store }> {
  const store = await Store.open(folder, silentLogger);
  return { store, [Symbol.asyncDispose]: () => store.close() };
}

/** A snapshot that cannot be read after the first pages. */
function broken(snapshot: Snapshot): Snapshot {
  async function* pages(...range: Parameters<Snapshot['pages']>): ReturnType<Snapshot['pages']> {
    let count = 0;
    for await (const page of snapshot.pages(...range)) {
      yield page;
      if (++count === 2) throw new Error('the disk is away');
    }
  }
  return { pages, close: () => snapshot.close() } as unknown as Snapshot;
}
