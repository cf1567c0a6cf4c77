import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, mock, test } from 'node:test';
import { Level } from 'level';
import { readLog, writeLog } from '#cluster/leveldb/log-format.ts';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import { seededRandom } from '#test/kit/random.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const COMMITS = 250;
const OPTIONS = { writeBufferSize: 64 * 1024, compression: false, names: /body!(id\d{4})/g };
const key = (n: number): string => `body!id${String(n).padStart(4, '0')}`;
const value = (n: number, bytes = 1000): Buffer => Buffer.alloc(bytes, `value ${n} `);
const put = (n: number, bytes?: number): StoreOperation => ({ type: 'put', key: key(n), value: value(n, bytes) });

/** Damage the newest file of a kind. */
async function damage(folder: string, ending: string, change: (bytes: Buffer) => Buffer): Promise<string> {
  const file =
    (await readdir(folder))
      .filter((name) => name.endsWith(ending))
      .sort()
      .at(-1) ?? '';
  await writeFile(join(folder, file), change(await readFile(join(folder, file))));
  return file;
}

/** Numbers of the entries that are as they were written, and of those that are not. */
async function contentOf(store: Store, bytes?: number): Promise<{ whole: number[]; wrong: number }> {
  const whole: number[] = [];
  let wrong = 0;
  for await (const [name, found] of store.entries({})) {
    const n = Number(/^body!id(\d{4})$/.exec(name)?.[1] ?? Number.NaN);
    if (!Number.isNaN(n) && found.equals(value(n, bytes))) whole.push(n);
    else wrong++;
  }
  return { whole, wrong };
}

/** Closed stores, which each test gets its own copy of: one with all of its entries in the log, one with tables. */
let logged: TempDir;
let tabled: TempDir;
before(async () => {
  logged = await tempDir('damage');
  const log = await Store.open(logged.path, silentLogger, { compression: false });
  for (let n = 0; n < COMMITS; n++) await log.write([put(n, 100)]);
  await log.close();
  tabled = await tempDir('damage');
  const tables = await Store.open(tabled.path, silentLogger, OPTIONS);
  await fill(tables);
  await tables.close();
});
after(async () => {
  await logged[Symbol.asyncDispose]();
  await tabled[Symbol.asyncDispose]();
});

async function copyOf(folder: TempDir): Promise<TempDir> {
  const copy = await tempDir('damage');
  await cp(folder.path, copy.path, { recursive: true });
  return copy;
}

/** Write a thousand entries, in commits that are small beside a table. */
async function fill(store: Store): Promise<void> {
  for (let n = 0; n < 1000; n += 10) await store.write(Array.from({ length: 10 }, (_, i) => put(n + i)));
}

test('a flipped bit in the log costs one entry, and is told; nothing else is dropped', async () => {
  await using dir = await tempDir('damage');
  const any = seededRandom(7);
  for (let round = 0; round < 30; round++) {
    const path = join(dir.path, String(round));
    await cp(logged.path, path, { recursive: true });
    await damage(path, '.log', (bytes) => {
      const at = Math.floor(any() * bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(any() * 8));
      return bytes;
    });
    const store = await Store.open(path, silentLogger, OPTIONS);
    const { whole, wrong } = await contentOf(store, 100);
    const [told, ...more] = await store.damage();
    assert.ok(whole.length >= COMMITS - 1, `${whole.length} entries`);
    assert.match(told?.what ?? '', /^the log \S+\.log is damaged: /);
    assert.equal(more.length, 0);
    if (whole.length < COMMITS && wrong === 0) assert.ok((told?.lostBytes ?? 0) > 0);
    await store.close();
  }
});

test('what a destroyed part of the log had is named, kept aside, and told until its folder is gone', async () => {
  await using folder = await copyOf(logged);
  const gone = [100, 101, 102];
  const file = await damage(folder.path, '.log', (bytes) => {
    // The heads of record and batch are in front of the key: where each ends is not known any more.
    for (const n of gone) bytes.fill(0xff, bytes.indexOf(key(n)) - 21, bytes.indexOf(key(n)));
    return bytes;
  });
  const before = await readFile(join(folder.path, file));
  for (let round = 0; round < 2; round++) {
    const store = await Store.open(folder.path, silentLogger, OPTIONS);
    assert.deepEqual(
      (await contentOf(store, 100)).whole,
      Array.from({ length: COMMITS }, (_, n) => n).filter((n) => !gone.includes(n)),
    );
    const [told, ...more] = await store.damage();
    assert.ok(told !== undefined && more.length === 0);
    assert.deepEqual(told.names, ['id0100', 'id0101', 'id0102']);
    assert.match(told.what, /3 changes are missing/);
    const kept = /log (\S+) is/.exec(told.what)?.[1] ?? '';
    assert.deepEqual(await readFile(join(told.folder, kept)), before);
    if (round === 1) await rm(told.folder, { recursive: true });
    if (round === 1) assert.deepEqual(await store.damage(), []);
    await store.close();
  }
});

test('a write that stopped halfway is no damage, also where later openings failed', async () => {
  await using folder = await copyOf(logged);
  await damage(folder.path, '.log', (bytes) => bytes.subarray(0, bytes.length - 50));
  await writeFile(join(folder.path, '000900.log'), '');
  await writeFile(join(folder.path, '000901.log'), Buffer.from([1, 2, 3]));
  const store = await Store.open(folder.path, silentLogger, OPTIONS);
  assert.equal((await contentOf(store, 100)).whole.length, COMMITS - 1);
  assert.deepEqual(await store.damage(), []);
  await store.close();
});

test('a log that is cut off although the next one was written is damaged', async () => {
  await using folder = await copyOf(logged);
  const file = await damage(folder.path, '.log', (bytes) => bytes.subarray(0, bytes.length - 50));
  const next = writeLog(
    readLog(await readFile(join(folder.path, file)))
      .records.slice(-1)
      .map((r) => r.payload),
  );
  await writeFile(join(folder.path, '000900.log'), next);
  const store = await Store.open(folder.path, silentLogger, OPTIONS);
  assert.match((await store.damage())[0]?.what ?? '', /is damaged/);
  await store.close();
});

for (const [what, change] of [
  ['an empty', () => Buffer.alloc(0)],
  ['a truncated', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
  ['a missing', undefined],
] as const) {
  test(`${what} table is repaired at the start, not taken for an error that passes`, async () => {
    await using folder = await copyOf(tabled);
    const tables = (await readdir(folder.path)).filter((name) => name.endsWith('.ldb')).sort();
    if (change === undefined) await rm(join(folder.path, tables[0] ?? ''));
    else {
      const bytes = await readFile(join(folder.path, tables[0] ?? ''));
      await writeFile(join(folder.path, tables[0] ?? ''), change(bytes));
    }
    const again = await Store.open(folder.path, silentLogger, OPTIONS);
    const { whole, wrong } = await contentOf(again);
    assert.ok(whole.length > 100 && whole.length < 1000 && wrong === 0, `${whole.length} left`);
    const [told] = await again.damage();
    assert.match(told?.what ?? '', new RegExp(`${tables[0]} has .* bytes`));
    assert.ok((told?.lostBytes ?? 0) > 10_000);
    await fill(again);
    await again.compact('', '~');
    assert.equal((await contentOf(again)).whole.length, 1000);
    assert.equal(again.failure, undefined);
    await again.close();
  });
}

test('a store that fails because of a damaged table is repaired, and what waits is written', async () => {
  await using folder = await tempDir('damage');
  const store = await Store.open(folder.path, silentLogger, OPTIONS);
  for (let n = 0; n < 200; n++) await store.write([put(n)]);
  const table =
    (await readdir(folder.path))
      .filter((name) => name.endsWith('.ldb'))
      .sort()
      .at(-1) ?? '';
  const broken = mock.method(Level.prototype, 'batch', async () => {
    broken.mock.restore();
    await truncate(join(folder.path, table), 0);
    throw Object.assign(new Error(`IO error: ${folder.path}/${table}: Invalid argument`), { code: 'LEVEL_IO_ERROR' });
  });
  await store.persist([put(999)]);
  await waitFor(async () => (await store.damage())[0], { what: 'the report' });
  assert.ok((await contentOf(store)).whole.includes(999));
  assert.equal(store.failure, undefined);
  await store.close();
});

test('a repair that was killed is repeated: what it had moved out of a log is not lost', async () => {
  await using folder = await copyOf(logged);
  await using dir = await tempDir('damage');
  const before = join(dir.path, 'before');
  await cp(folder.path, before, { recursive: true });
  for (const file of await readdir(folder.path)) if (file.startsWith('MANIFEST')) await rm(join(folder.path, file));
  // Killed when the logs are tables, and before the list of them is written.
  const repair = mock.method(
    Level as unknown as { repair(path: string): Promise<void> },
    'repair',
    async (path: string) => {
      repair.mock.restore();
      await (Level as unknown as { repair(path: string): Promise<void> }).repair(path);
      for (const file of await readdir(path)) if (/^(MANIFEST|CURRENT)/.test(file)) await rm(join(path, file));
      for (const file of await readdir(before)) {
        if (/^(MANIFEST|CURRENT)/.test(file)) await cp(join(before, file), join(path, file));
      }
      throw new Error('killed');
    },
  );
  await assert.rejects(Store.open(folder.path, silentLogger, OPTIONS), { code: 'store-failed' });
  const store = await Store.open(folder.path, silentLogger, OPTIONS);
  assert.equal((await contentOf(store, 100)).whole.length, COMMITS);
  await store.close();
});

/** A closed store with entries that were written over and deleted, and no list of its files. */
async function toRepair(): Promise<TempDir> {
  const folder = await tempDir('damage');
  const store = await Store.open(folder.path, silentLogger, OPTIONS);
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 100; n += 10) {
      await store.write(Array.from({ length: 10 }, (_, i) => ({ type: 'put', key: key(n + i), value: value(round) })));
    }
    for (let n = 0; n < 50; n += 10) {
      await store.write(Array.from({ length: 10 }, (_, i) => ({ type: 'del', key: key(n + i) })));
    }
  }
  await store.close();
  for (const file of await readdir(folder.path)) if (file.startsWith('MANIFEST')) await rm(join(folder.path, file));
  return folder;
}

async function assertNewest(folder: string): Promise<void> {
  const store = await Store.open(folder, silentLogger, OPTIONS);
  for (let n = 0; n < 100; n++) assert.deepEqual(await store.get(key(n)), n < 50 ? undefined : value(4), key(n));
  await store.close();
}

const mockCompaction = (implementation: () => Promise<void>) =>
  mock.method(Level.prototype as unknown as { compactRange(): Promise<void> }, 'compactRange', implementation);

test('a repair that was interrupted is finished at the next start: no old entry hides a new one', async () => {
  await using folder = await toRepair();
  const compact = mockCompaction(async () => {
    throw new Error('killed');
  });
  await assert.rejects(Store.open(folder.path, silentLogger, OPTIONS), { code: 'store-failed' });
  compact.mock.restore();
  await assertNewest(folder.path);
});

test('a repair is not finished while the disk is too full to merge the tables: no old entry hides a new one', async () => {
  await using folder = await toRepair();
  // LevelDB gives the compaction up, and tells it with the next write.
  const compact = mockCompaction(async () => undefined);
  const write = mock.method(Level.prototype, 'batch', async () => {
    throw Object.assign(new Error('IO error: 000009.ldb: No space left on device'), { code: 'LEVEL_IO_ERROR' });
  });
  await assert.rejects(Store.open(folder.path, silentLogger, OPTIONS), { code: 'store-failed' });
  compact.mock.restore();
  write.mock.restore();
  await assertNewest(folder.path);
});
