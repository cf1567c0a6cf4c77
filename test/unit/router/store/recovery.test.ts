import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { codeOf, envelope, LATER, messageOf, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Change the records of a router that is stopped. */
async function tamper(folder: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await Store.open(join(folder, 'queue'), silentLogger);
  await work(store);
  await store.close();
}

async function keysOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  await tamper(folder, async (store) => {
    for await (const key of store.keys({})) found.push(key);
  });
  return found;
}

/** Flip one bit in the middle of a record. */
async function damage(store: Store, key: string): Promise<void> {
  const value = await store.get(key);
  assert.ok(value !== undefined, key);
  const at = value.length >> 1;
  value[at] = (value[at] ?? 0) ^ 4;
  await store.write([{ type: 'put', key, value }]);
}

test('an empty folder is an empty queue', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(join(folder.path, 'not', 'there'));
  const { active, deferred, hold, corrupt } = await router.status();
  assert.deepEqual([active, deferred, hold, corrupt], [0, 0, 0, 0]);
});

test('a data folder that another router uses is refused', async () => {
  await using folder = await tempDir();
  await using _router = await TestRouter.start(folder.path);
  assert.equal(await codeOf(TestRouter.start(folder.path)), 'store-locked');
});

test('every message is found in the state that it was in, recipients and schedule too', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const untried = await first.send({ envelope: envelope(['a@one.example']) });
  const late = await first.send({ envelope: envelope(['b@two.example', 'c@two.example', 'd@two.example']) });
  const jobs = new Map(first.delivery.jobs.splice(0).map((j) => [j.job.queueId, j]));
  const job = jobs.get(late);
  assert.ok(job !== undefined);
  await job.job.finish([
    await job.endOne('b@two.example', 'delivered', OK),
    await job.endOne('c@two.example', 'deferred', LATER),
    await job.endOne('d@two.example', 'failed', NO_USER),
  ]);
  const before = await first.show(late);
  await first.stop();

  await using second = await TestRouter.start(folder.path);
  assert.deepEqual(await second.show(late), before);
  const found = second.delivery.jobs.map((j) => j.job.queueId);
  assert.equal(found.length, 2, 'the untried message and the notice about d');
  assert.ok(found.includes(untried));
  await second.service.handlers['message-retry']({ queueId: late }, second.context());
  assert.deepEqual((await waitFor(() => second.delivery.jobs[2], { what: 'the retry' })).to, ['c@two.example']);
});

test('a message that became due while the router was away is tried immediately', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path, { times: { first: 30, max: 30 } });
  const queueId = await first.send({ envelope: envelope(['a@one.example']) });
  await (await first.delivery.next()).end('deferred', LATER);
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  assert.equal((await second.delivery.next()).job.queueId, queueId);
});

test('a transfer that was never committed is gone after the next start, and nothing else', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const kept = await first.send({ envelope: envelope(['a@one.example']), message: messageOf(200_000) });
  const { handlers } = first.service;
  const { transfer } = await handlers['transfer-open'](
    { envelope: envelope(['b@one.example']), origin: (await first.show(kept)).entry.origin },
    first.context(),
  );
  await handlers['transfer-append']({ transfer, sequence: 0 }, first.context(Buffer.alloc(1000)));
  await handlers['transfer-append']({ transfer, sequence: 1 }, first.context(Buffer.alloc(1000)));
  await first.stop();
  assert.equal((await keysOf(folder.path)).filter((k) => k.startsWith('transfer')).length, 1);
  const second = await TestRouter.start(folder.path);
  assert.equal((await second.delivery.next()).job.queueId, kept);
  await second.stop();
  const left = await keysOf(folder.path);
  assert.ok(left.length > 0 && left.every((key) => key.includes(kept)), left.join());
});

for (const [what, keyOf] of [
  ['message record', (id: string) => keys.message(id)],
  ['recipient record', (id: string) => keys.recipient(id, 1)],
] as const) {
  test(`a damaged ${what} sets its message aside, whole; the rest goes on`, async () => {
    await using folder = await tempDir();
    const first = await TestRouter.start(folder.path);
    const to = ['a@one.example', 'b@one.example'];
    const bad = await first.send({ envelope: envelope(to), message: messageOf(200_000) });
    const good = await first.send({ envelope: envelope(to) });
    await first.stop();
    const ofMessage = (key: string): boolean => key.includes(bad);
    const before = (await keysOf(folder.path)).filter(ofMessage);
    await tamper(folder.path, (store) => damage(store, keyOf(bad)));

    const second = await TestRouter.start(folder.path);
    assert.equal((await second.delivery.next()).job.queueId, good);
    assert.equal((await second.status()).corrupt, 1);
    assert.equal(await codeOf(second.show(bad)), 'not-found');
    assert.equal(await codeOf(second.readQueued(bad)), 'corrupt');
    await second.stop();
    const after = (await keysOf(folder.path)).filter(ofMessage);
    assert.deepEqual(after.sort(), before.map((key) => keys.corrupt(bad, key)).sort());

    // The next start still knows it; an operator can have it removed.
    const third = await TestRouter.start(folder.path);
    assert.equal((await third.status()).corrupt, 1);
    const removed = await third.service.handlers['message-remove']({ queueId: bad, notify: false }, third.context());
    assert.deepEqual(removed, { count: 1 });
    assert.equal((await third.status()).corrupt, 0);
    await third.stop();
    assert.deepEqual((await keysOf(folder.path)).filter(ofMessage), []);
  });
}

for (const [what, lose] of [
  ['its message record', (id: string) => keys.message(id)],
  ['one of its recipients', (id: string) => keys.recipient(id, 0)],
  ['its only other recipient', (id: string) => keys.recipient(id, 1)],
] as const) {
  test(`a message that has lost ${what} is set aside, not guessed at`, async () => {
    await using folder = await tempDir();
    const first = await TestRouter.start(folder.path);
    const to = ['a@one.example', 'b@one.example'];
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push(await first.send({ envelope: envelope(to) }));
    await first.stop();
    for (const id of [ids[0], ids[2]]) {
      await tamper(folder.path, (store) => store.write([{ type: 'del', key: lose(id ?? '') }]));
    }
    await using second = await TestRouter.start(folder.path);
    assert.equal((await second.status()).corrupt, 2);
    assert.equal((await second.delivery.next()).job.queueId, ids[1]);
    assert.deepEqual(second.delivery.jobs, []);
  });
}

test('a recipient record that lies under the wrong message is found', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const one = await first.send({ envelope: envelope(['a@one.example']) });
  const two = await first.send({ envelope: envelope(['b@two.example']) });
  await first.stop();
  await tamper(folder.path, async (store) => {
    const value = await store.get(keys.recipient(one, 0));
    assert.ok(value !== undefined);
    await store.write([{ type: 'put', key: keys.recipient(two, 0), value }]);
  });
  await using second = await TestRouter.start(folder.path);
  assert.equal((await second.status()).corrupt, 1);
  assert.deepEqual((await second.delivery.next()).to, ['a@one.example']);
});

for (const [what, break_] of [
  ['damaged', (store: Store, key: string) => damage(store, key)],
  ['missing', (store: Store, key: string) => store.write([{ type: 'del', key }])],
] as const) {
  test(`a ${what} piece ends the attempt before it is complete, and sets the message aside`, async () => {
    await using folder = await tempDir();
    const first = await TestRouter.start(folder.path);
    const bad = await first.send({ envelope: envelope(['a@one.example']), message: messageOf(300_000) });
    await first.stop();
    await tamper(folder.path, (store) => break_(store, keys.body(bad, 2)));

    await using second = await TestRouter.start(folder.path);
    const given = await second.delivery.next();
    const opened = await given.job.open();
    assert.ok(opened.ok);
    let bytes = 0;
    await assert.rejects(
      async () => {
        for await (const part of opened.read()) bytes += part.length;
      },
      { code: 'corrupt' },
    );
    assert.equal(bytes, 31 + 2 * CHUNK_BYTES, 'not a byte of the piece was handed on');
    await given.end('deferred', LATER, { local: true });
    assert.equal((await second.status()).corrupt, 1);
    assert.equal((await second.status()).active, 0);
    await waitFor(async () => (await codeOf(second.readQueued(bad))) === 'corrupt', { what: 'the refusal' });
    const good = await second.send({ envelope: envelope(['a@one.example']) });
    assert.equal((await second.delivery.next()).job.queueId, good);
  });
}

test('a damaged piece of a message that must be signed is found before anything is sent', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['a@one.example']), originating: true });
  await first.stop();
  await tamper(folder.path, (store) => damage(store, keys.body(queueId, 0)));
  await using second = await TestRouter.start(folder.path);
  const given = await second.delivery.next();
  assert.equal((await given.job.open()).ok, false);
  await given.end('deferred', LATER, { local: true });
  assert.equal((await second.status()).corrupt, 1);
  assert.deepEqual(second.signer.calls, []);
});

test('where the copy of a message was that has left is forgotten', async () => {
  await using folder = await tempDir();
  const place = { store: 'HOLDER', node: 'edge-2', generation: 1 };
  const router = await TestRouter.start(folder.path);
  const id = await router.send({ envelope: envelope(['bob@peer.example']) });
  await router.stop();
  await tamper(folder.path, (store) =>
    store.write([putJson(keys.place(id), place), putJson(keys.place(newQueueId()), place)]),
  );
  await (await TestRouter.start(folder.path)).stop();
  assert.deepEqual(
    (await keysOf(folder.path)).filter((key) => key.startsWith('place!')),
    [keys.place(id)],
  );
});
