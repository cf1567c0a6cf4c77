import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Range } from '#cluster/snapshot.ts';
import { Store } from '#cluster/store.ts';
import { errorCode } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Ranges of which LevelDB cannot read a part: nothing that it can read is left out. */

const COUNT = 3000;
const names = Array.from({ length: COUNT }, (_, n) => `k!${String(n).padStart(5, '0')}`);

/** A store of which one block, at this share of its table, makes no sense. */
async function damagedStore(folder: string, share: number): Promise<Store> {
  const store = await Store.open(folder, silentLogger);
  await store.write(names.map((key) => ({ type: 'put', key, value: Buffer.from(`${key} `.repeat(20)) })));
  await store.compact('', '~');
  await store.close();
  const tables = (await readdir(folder)).filter((name) => name.endsWith('.ldb'));
  const sizes = await Promise.all(tables.map(async (name) => (await stat(join(folder, name))).size));
  const table = join(folder, tables[sizes.indexOf(Math.max(...sizes))] ?? '');
  const bytes = await readFile(table);
  const at = Math.floor(bytes.length * share);
  bytes.fill(0xff, at, at + 300);
  await writeFile(table, bytes);
  return Store.open(folder, silentLogger);
}

/** The keys that can be read, one by one. */
async function readable(store: Store): Promise<string[]> {
  const found: string[] = [];
  for (const key of names) {
    const value = await store.get(key).catch((error: unknown) => assert.equal(errorCode(error), 'store-damaged'));
    if (value instanceof Buffer) found.push(key);
  }
  return found;
}

/** What is read of a range until it ends, and how it ends. */
async function allOf(read: AsyncIterable<string>): Promise<{ found: string[]; end: string | undefined }> {
  const found: string[] = [];
  try {
    for await (const key of read) found.push(key);
    return { found, end: undefined };
  } catch (error) {
    return { found, end: errorCode(error) };
  }
}

const WAYS: Record<string, (store: Store, range: Range) => AsyncGenerator<string>> = {
  async *entries(store, range) {
    for await (const [key, value] of store.entries(range)) {
      assert.ok(value.toString().startsWith(key));
      yield key;
    }
  },
  keys: (store, range) => store.keys(range),
  async *pages(store, range) {
    const snapshot = store.snapshot();
    try {
      for await (const page of snapshot.pages(range)) for (const [key] of page) yield key;
    } finally {
      await snapshot.close();
    }
  },
};

const [FIRST = '', LAST = ''] = [names[100], names[2900]];
const RANGES: [string, Range, (key: string) => boolean][] = [
  ['all', {}, () => true],
  ['of a prefix', { gte: 'k!', lt: 'k"' }, () => true],
  ['after a key, up to one', { gt: FIRST, lte: LAST }, (key) => key > FIRST && key <= LAST],
];

for (const [where, share] of [
  ['at its beginning', 0.05],
  ['in its middle', 0.5],
  ['near its end', 0.8],
] as const)
  test(`a range that is damaged ${where} gives all that can be read, then its error`, async () => {
    await using folder = await tempDir();
    const store = await damagedStore(folder.path, share);
    const whole = await readable(store);
    assert.ok(whole.length > COUNT / 2 && whole.length < COUNT, `${whole.length} of ${COUNT}`);
    for (const [way, read] of Object.entries(WAYS))
      for (const [what, range, isIn] of RANGES)
        for (const reverse of [false, true])
          for (const limit of [undefined, 700, 2700]) {
            const given = { ...range, ...(reverse && { reverse }), ...(limit !== undefined && { limit }) };
            const expected = whole.filter(isIn);
            if (reverse) expected.reverse();
            const { found, end } = await allOf(read(store, given));
            const name = `${way}, ${what}${reverse ? ', backwards' : ''}, ${limit ?? 'no'} limit`;
            assert.deepEqual(found, expected.slice(0, limit), name);
            // LevelDB may have met no damage in the part that was asked for.
            if (found.length !== limit) assert.equal(end, 'store-damaged', name);
          }
    await store.close();
  });
