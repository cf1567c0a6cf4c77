import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import { Level } from 'level';
import { isOutOfSpace } from '#cluster/level.ts';
import type { Range } from '#cluster/snapshot.ts';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const put = (key: string, value = key): StoreOperation => ({ type: 'put', key, value: Buffer.from(value) });
const del = (key: string): StoreOperation => ({ type: 'del', key });

async function keysOf(store: Store, range: Range = {}): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.keys(range)) keys.push(key);
  return keys;
}

/** The next writes of every LevelDB fail as on a full disk, until the returned function is called. */
function breakWrites(reason = 'IO error: 000005.log: No space left on device'): {
  mend: () => void;
  count: () => number;
} {
  const broken = mock.method(Level.prototype, 'batch', async () => {
    throw Object.assign(new Error(reason), { code: 'LEVEL_IO_ERROR' });
  });
  return { mend: () => broken.mock.restore(), count: () => broken.mock.callCount() };
}

test('what is written is there after reopening, in order, and only once per key', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await store.write([put('b'), put('a'), put('c'), del('c'), put('a', 'again')]);
  await store.close();
  const again = await Store.open(folder.path, silentLogger);
  assert.deepEqual(await keysOf(again), ['a', 'b']);
  assert.equal((await again.get('a'))?.toString(), 'again');
  assert.equal(await again.get('c'), undefined);
  assert.deepEqual(
    (await again.getMany(['b', 'c', 'a'])).map((v) => v?.toString()),
    ['b', undefined, 'again'],
  );
  assert.deepEqual(await keysOf(again, { gt: 'a', lte: 'b' }), ['b']);
  await again.close();
});

test('nobody else on the machine can look into the folder', async () => {
  await using folder = await tempDir();
  const place = join(folder.path, 'queue');
  const store = await Store.open(place, silentLogger);
  assert.equal((await stat(place)).mode & 0o077, 0);
  await store.close();
});

test('writes that come together share syncs, and take effect in the order in which they came', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const batches = mock.method(Level.prototype, 'batch');
  await Promise.all(Array.from({ length: 200 }, (_, n) => store.write([put('last', String(n)), put(`k${n}`)])));
  const calls = batches.mock.calls.map((c) => (c.arguments as unknown[])[1]);
  batches.mock.restore();
  assert.ok(calls.length <= 3, `${calls.length} batches`);
  for (const options of calls) assert.deepEqual(options, { sync: true });
  assert.equal((await store.get('last'))?.toString(), '199');
  assert.equal((await keysOf(store)).length, 201);
  await store.close();
});

test('a group commit stays below its limit, however much waits', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const batches = mock.method(Level.prototype, 'batch');
  const value = Buffer.alloc(1024 * 1024);
  await Promise.all(Array.from({ length: 10 }, (_, n) => store.write([{ type: 'put', key: `k${n}`, value }])));
  const sizes = batches.mock.calls.map((c) => ((c.arguments as unknown[])[0] as StoreOperation[]).length);
  batches.mock.restore();
  assert.ok(Math.max(...sizes) <= 4, sizes.join());
  assert.equal((await keysOf(store)).length, 10);
  await store.close();
});

test('a failed write refuses everything that waits but what must persist, and that comes first afterwards', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await store.write([put('before')]);
  const disk = breakWrites();
  const done: string[] = [];
  const results = Promise.allSettled([
    store.write([put('lost-1')]),
    store.persist([put('kept'), put('order', '1')]).then(() => done.push('kept')),
    store.write([put('lost-2')]),
    store.persist([del('before'), put('order', '2')]).then(() => done.push('del')),
  ]);
  await waitFor(() => store.failure, { what: 'the failure' });
  assert.equal(isOutOfSpace(store.failure), true);
  assert.equal(errorCode(await store.write([put('lost-3')]).catch((e: unknown) => e)), 'store-failed');
  assert.equal(errorCode(await store.get('before').catch((e: unknown) => e)), 'store-failed');
  assert.equal(errorCode(await keysOf(store).catch((e: unknown) => e)), 'store-failed');
  const late = store.persist([put('late')]).then(() => done.push('late'));
  assert.deepEqual(done, []);
  disk.mend();
  const settled = await results;
  await late;
  assert.deepEqual(
    settled.map((r) => (r.status === 'fulfilled' ? 'ok' : errorCode(r.reason))),
    ['store-failed', 'ok', 'store-failed', 'ok'],
  );
  assert.deepEqual(done, ['kept', 'del', 'late']);
  assert.equal(store.failure, undefined);
  assert.deepEqual(await keysOf(store), ['kept', 'late', 'order']);
  assert.equal((await store.get('order'))?.toString(), '2');
  await store.close();
});

test('a store that fails again while it reopens goes on trying', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const disk = breakWrites();
  const kept = store.persist([put('kept')]);
  await waitFor(() => disk.count() >= 2, { what: 'one more try', timeout: 10_000 });
  disk.mend();
  await kept;
  assert.deepEqual(await keysOf(store), ['kept']);
  await store.close();
});

test('what is no write is the fault of the caller, not of the disk', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const bad = { type: 'move', key: 'k' } as unknown as StoreOperation;
  await assert.rejects(store.persist([bad]), TypeError);
  await assert.rejects(store.persist([put('k'), { ...del('k'), key: undefined as unknown as string }]), TypeError);
  assert.equal(store.failure, undefined);
  await store.write([put('k')]);
  await store.close();
});

test('closing finishes what waits, closes once, and then refuses', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const writes = Promise.all(Array.from({ length: 50 }, (_, n) => store.write([put(`k${n}`)])));
  await Promise.all([store.close(), store.close()]);
  await writes;
  for (const call of [store.write([put('x')]), store.persist([put('x')]), store.get('k0'), store.compact('a', 'z')]) {
    assert.equal(errorCode(await call.catch((e: unknown) => e)), 'store-failed');
  }
  const again = await Store.open(folder.path, silentLogger);
  assert.equal((await keysOf(again)).length, 50);
  await again.close();
});

test('closing a store that fails gives up what could not be written, at once', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const disk = breakWrites();
  const kept = store.persist([put('kept')]).catch((e: unknown) => e);
  await waitFor(() => store.failure, { what: 'the failure' });
  await store.close();
  disk.mend();
  assert.equal(errorCode(await kept), 'store-failed');
  assert.notEqual(store.failure, undefined);
});

test('closing while the store reopens leaves it closed, and free for the next one', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const disk = breakWrites();
  await store.write([put('x')]).catch(() => undefined);
  disk.mend();
  // The reopening begins after a second: close just then, whatever it is doing.
  const open = mock.method(Level.prototype, 'open');
  await waitFor(() => open.mock.callCount() > 0, { what: 'the reopening' });
  open.mock.restore();
  await store.close();
  assert.match(String(store.failure), /closed|No space/);
  await (await Store.open(folder.path, silentLogger)).close();
});

test('a folder that another store holds is refused by name', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await assert.rejects(Store.open(folder.path, silentLogger), { code: 'store-locked', message: /node\.data/ });
  await store.close();
});

test('a folder that cannot be made is refused by name', async () => {
  await using folder = await tempDir();
  await writeFile(join(folder.path, 'file'), '');
  const below = join(folder.path, 'file', 'queue');
  await assert.rejects(Store.open(below, silentLogger), { code: 'store-failed', message: new RegExp(below) });
});

test('a store whose list of files is damaged is repaired and keeps its entries', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await store.write([put('a'), put('b')]);
  await store.close();
  const manifest = (await readdir(folder.path)).find((f) => f.startsWith('MANIFEST'));
  assert.ok(manifest !== undefined);
  await truncate(join(folder.path, manifest), 3);
  const again = await Store.open(folder.path, silentLogger);
  assert.deepEqual(await keysOf(again), ['a', 'b']);
  await again.write([put('c')]);
  await again.close();
});

test('a store that lost the name of its list of files is repaired, not begun anew', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await store.write([put('a'), put('b')]);
  await store.compact('', '~');
  await store.close();
  await rm(join(folder.path, 'CURRENT'));
  const again = await Store.open(folder.path, silentLogger);
  assert.deepEqual(await keysOf(again), ['a', 'b']);
  await again.close();
});

test('a store whose list of files is missing, or not named, is repaired and keeps its entries', async () => {
  for (const lose of ['MANIFEST', 'name', 'CURRENT'] as const) {
    await using folder = await tempDir();
    const store = await Store.open(folder.path, silentLogger);
    await store.write([put('a'), put('b'), put('gone')]);
    await store.compact('', '~');
    await store.write([put('c'), del('gone')]);
    await store.close();
    const list = (await readdir(folder.path)).find((f) => f.startsWith('MANIFEST')) ?? '';
    if (lose === 'name') await writeFile(join(folder.path, 'CURRENT'), 'MANIFEST-999999\n');
    else if (lose === 'CURRENT') await writeFile(join(folder.path, 'CURRENT'), '');
    else await rm(join(folder.path, list));
    const again = await Store.open(folder.path, silentLogger);
    assert.deepEqual(await keysOf(again), ['a', 'b', 'c'], lose);
    assert.equal(await again.get('gone'), undefined, lose);
    await again.close();
  }
});

test('a store that is open elsewhere is left alone, whatever its files look like', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await store.write([put('a')]);
  await writeFile(join(folder.path, 'CURRENT'), 'MANIFEST-999999\n');
  await assert.rejects(Store.open(folder.path, silentLogger), { code: 'store-locked' });
  assert.equal(await readFile(join(folder.path, 'CURRENT'), 'utf8'), 'MANIFEST-999999\n');
  await store.close();
});

test('what lack of space looks like', () => {
  assert.equal(isOutOfSpace(new Error('x', { cause: new Error('IO error: a: No space left on device') })), true);
  assert.equal(isOutOfSpace(new Error('IO error: a: Disk quota exceeded')), true);
  assert.equal(isOutOfSpace(new Error('IO error: a: Input/output error')), false);
});
