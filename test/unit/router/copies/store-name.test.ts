import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { ClaimRecord, type Lease, leaseKey } from '#services/router/copies/claims.ts';
import { loadStoreName } from '#services/router/copies/store-name.ts';
import { keys } from '#services/router/store/records.ts';
import { SealpostError } from '#shared/errors.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';

const lease = (node: string): Lease => ({ kind: 'lease', node, beat: 1, after: 20_000, state: 'serving' });

/** A store that was used under a name, by node `own`, whose earlier disk was lost, beside another node. */
async function usedStore() {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await tempDir());
  const { log, lines } = logLines();
  const store = await Store.open(path, log);
  undo.defer(() => store.close());
  const map = await ReplicatedMap.open({
    ...{ store, prefix: 'claim!', bucket: 'claims', schema: ClaimRecord, node: 'own', log },
    ...{ jetStream: undefined, replicas: 1 },
  });
  undo.defer(() => map.close());
  const load = async (): Promise<string> => {
    const loaded = await loadStoreName(store, log);
    return 'name' in loaded ? loaded.name : loaded.find(map, 'own');
  };
  const name = await load();
  await map.update(leaseKey('EARLIERDISK1'), () => lease('own'));
  await new Promise((later) => setTimeout(later, 2));
  await map.update(leaseKey(name), () => lease('own'));
  await new Promise((later) => setTimeout(later, 2));
  await map.update(leaseKey('OTHERSTORE01'), () => lease('other'));
  const resources = undo.move();
  return { store, map, name, load, lines, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

for (const [what, at] of [
  ['in the name', 30],
  ['in its digest', 5],
  ['in its version', 0],
] as const) {
  test(`a store keeps its name when a bit of the record flips ${what}, and the router starts`, async () => {
    await using used = await usedStore();
    const { store, name, load, lines } = used;
    const sealed = Buffer.from((await store.get(keys.store)) ?? '');
    sealed[at] = (sealed[at] ?? 0) ^ 4;
    await store.write([{ type: 'put', key: keys.store, value: sealed }]);
    for (let start = 0; start < 2; start++) assert.equal(await load(), name);
    assert.equal(lines().filter(({ level }) => level === 'error').length, 1);
  });
}

test('a store keeps its name when the record is gone, and not when its disk is', async () => {
  await using used = await usedStore();
  const { store, map, name, load } = used;
  await store.write([{ type: 'del', key: keys.store }]);
  assert.equal(await load(), name);

  await using folder = await tempDir();
  await using undo = new AsyncDisposableStack();
  const { log, lines } = logLines();
  const empty = await Store.open(folder.path, log);
  undo.defer(() => empty.close());
  const fresh = await loadStoreName(empty, log);
  assert.ok('name' in fresh && map.get(leaseKey(fresh.name)) === undefined);
  assert.deepEqual(lines(), []);
});

test('a store keeps its name when LevelDB can read neither the record nor the keys of the claims', async () => {
  await using used = await usedStore();
  const { store, name, load } = used;
  await store.write([{ type: 'del', key: keys.store }]);
  const { keys: keysIn } = store;
  store.keys = async function* () {
    yield* [];
    throw new SealpostError('store-damaged', 'a block has the wrong sum');
  };
  assert.equal(await load(), name);
  store.keys = keysIn;
});

test('of two names what is left of the record tells which, and where nothing does the store gets a new one', async () => {
  await using used = await usedStore();
  const { store, map, name, load, lines } = used;
  await map.update(leaseKey('EARLIERDISK1'), (record) => ({ ...lease('own'), beat: record === undefined ? 1 : 2 }));
  const sealed = Buffer.from((await store.get(keys.store)) ?? '');
  sealed[1] = (sealed[1] ?? 0) ^ 4;
  await store.write([{ type: 'put', key: keys.store, value: sealed }]);
  assert.equal(await load(), name);

  for (const key of [name, 'EARLIERDISK1']) await map.update(leaseKey(key), () => undefined);
  await store.write([{ type: 'put', key: keys.store, value: Buffer.from('x') }]);
  assert.notEqual(await load(), name);
  assert.match(lines().at(-1)?.msg ?? '', /has a new name/);
  assert.equal(String(await store.get(keys.damagedStore)), 'x');
});
