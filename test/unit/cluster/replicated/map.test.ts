import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ReplicatedMap, type ReplicatedMapOptions } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { mapSuite, Note } from '#test/suites/replicated-map.ts';

const local = (store: Store): ReplicatedMapOptions<Note> => ({
  ...{ store, prefix: 'map!', bucket: 'notes', schema: Note, node: 'a', log: silentLogger },
  ...{ jetStream: undefined, replicas: 3 },
});

mapSuite('without a bus', async () => {
  await using undo = new AsyncDisposableStack();
  const dir = undo.use(await tempDir());
  const store = await Store.open(dir.path, silentLogger);
  undo.defer(() => store.close());
  let map = await ReplicatedMap.open(local(store));
  const resources = undo.move();
  return {
    map,
    store,
    reopen: async () => {
      await map.close();
      map = await ReplicatedMap.open(local(store));
      return map;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
});

test('a damaged record is set aside and reported, one of a newer program is kept and not changed', async () => {
  await using dir = await tempDir();
  const store = await Store.open(dir.path, silentLogger);
  const first = await ReplicatedMap.open(local(store));
  for (const key of ['flipped', 'cut', 'moved', 'newer', 'whole']) await first.update(key, () => ({ text: key }));
  await first.close();
  const read = async (key: string): Promise<string> => String(await store.get(`map!record!${key}`));
  const write = (key: string, text: string) =>
    store.write([{ type: 'put', key: `map!record!${key}`, value: Buffer.from(text) }]);
  await write('flipped', (await read('flipped')).replace('"text":"flipped"', '"text":"flopped"'));
  await write('cut', (await read('cut')).slice(0, 40));
  await write('moved', await read('whole'));
  const strict = { ...local(store), schema: Note.refine(({ text }) => text !== 'newer', 'too new') };

  const { log, lines } = logLines();
  const map = await ReplicatedMap.open({ ...strict, log });
  assert.deepEqual([map.state, map.problem, map.entries().map(({ key }) => key)], ['local', undefined, ['whole']]);
  assert.deepEqual(
    lines().flatMap(({ level, record }) => (level === 'error' ? [record] : [])),
    ['cut', 'flipped', 'moved', 'newer'],
  );
  assert.deepEqual(map.unreadable, ['newer']);
  const corrupt: string[] = [];
  for await (const key of store.keys({ gte: 'map!corrupt!', lt: 'map!corrupt"' })) corrupt.push(key);
  assert.deepEqual(corrupt, ['map!corrupt!cut', 'map!corrupt!flipped', 'map!corrupt!moved']);
  await assert.rejects(
    map.update('newer', () => ({ text: 'old' })),
    { code: 'unreadable-record', message: /too new/ },
  );
  await map.close();
  assert.equal((await ReplicatedMap.open(local(store))).get('newer')?.value.text, 'newer');
  await store.close();
});

test('a part of the store that cannot be read costs the records in it, not the others', async () => {
  await using dir = await tempDir();
  const store = await Store.open(dir.path, silentLogger);
  const first = await ReplicatedMap.open(local(store));
  const names = Array.from({ length: 100 }, (_, i) => `k${100 + i}`);
  for (const key of names) await first.update(key, () => ({ text: `${key} ${randomBytes(300).toString('hex')}` }));
  await first.close();
  await store.compact('', '~');
  await store.close();
  const table = join(dir.path, (await readdir(dir.path)).find((file) => file.endsWith('.ldb')) ?? '');
  const bytes = await readFile(table);
  bytes.fill(0xff, 20_000, 24_500);
  await writeFile(table, bytes);

  const damaged = await Store.open(dir.path, silentLogger);
  const { log, lines } = logLines();
  const map = await ReplicatedMap.open({ ...local(damaged), log });
  const left = map.entries().map(({ key }) => key);
  assert.ok(left.length > 60 && left.length < 100, `${left.length} left`);
  assert.match(lines().find(({ level }) => level === 'error')?.msg ?? '', /cannot be read/);
  const lost = names.find((key) => !left.includes(key)) ?? '';
  await map.update(lost, () => ({ text: 'made anew' }));
  await map.close();
  await damaged.close();
});

test('a repair goes by the best copy, whatever nonsense other nodes send', async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  const [store, otherStore] = [await Store.open(dir.path, silentLogger), await Store.open(other.path, silentLogger)];
  const [map, otherMap] = [await ReplicatedMap.open(local(store)), await ReplicatedMap.open(local(otherStore))];
  for (const text of ['old', 'new']) await otherMap.update('k', () => ({ text }));
  const copy = otherMap.copyOf('k') ?? '';
  const endless = JSON.stringify({ ...JSON.parse(copy), version: Number.MAX_SAFE_INTEGER });
  const { value, version, copy: which } = await map.repair('k', ['', '{"schema":1}', endless, copy]);
  assert.deepEqual([value?.text, version, which], ['new', 3, 3]);
  await map.close();
  await otherMap.close();
  await store.close();
  await otherStore.close();
});
