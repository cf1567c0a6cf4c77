import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { HeldCopies } from '#services/router/copies/held-copies.ts';
import { idRange } from '#services/router/receipts/ids.ts';
import { conditionsOf } from '#services/router/receipts/query.ts';
import type { SearchIndex } from '#services/router/receipts/search-index.ts';
import { KeptReceipt, keys, parseRecord } from '#services/router/store/records.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { CopyChange } from '#shared/queue/copy-change.ts';
import { tempDir } from '#test/kit/temp.ts';
import { codeOf, indexOf, ORIGIN } from '#test/unit/router/fixture.ts';

const OWNER = 'AAAABBBBCCCC';
const [A = '', B = ''] = [newQueueId(), newQueueId()];

async function withHeld(work: (held: HeldCopies, store: Store, index: SearchIndex) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const index = await indexOf(store);
  await index.read;
  await work(await HeldCopies.load(store, index), store, index);
  await store.close();
}

function put(id: string, records: Record<string, string>, complete: boolean): [CopyChange, Buffer] {
  const names = Object.keys(records);
  return [
    { id, complete, put: names.map((key) => ({ key, size: Buffer.byteLength(records[key] ?? '') })) },
    Buffer.from(names.map((key) => records[key]).join('')),
  ];
}

async function change(held: HeldCopies, ...parts: [CopyChange, Buffer][]): Promise<void> {
  await held.change(
    { owner: OWNER, generation: 1 },
    parts.map(([c]) => c),
    Buffer.concat(parts.map(([, bytes]) => bytes)),
  );
}

const whole = (id: string): Record<string, string> => ({
  [keys.body(id, 0)]: 'body',
  [keys.recipient(id, 0)]: 'bob',
  [keys.recipient(id, 1)]: 'carol',
  [keys.message(id)]: 'message',
});

async function recordsOf(held: HeldCopies, id: string): Promise<Record<string, string>> {
  const records: Record<string, string> = {};
  for await (const [key, value] of held.records(OWNER, 1, id)) records[key] = value.toString();
  return records;
}

async function allKeys(store: Store): Promise<string[]> {
  return Array.fromAsync(store.keys({ gte: 'copy!', lt: 'copy"' }));
}

test('copies are found again after a start; a drop leaves nothing', async () => {
  await withHeld(async (held, store) => {
    await change(held, put(A, whole(A), true), put(B, { [keys.body(B, 0)]: 'half' }, false));
    for (const found of [held, await HeldCopies.load(store, await indexOf(store))]) {
      assert.deepEqual(found.ids(OWNER, 1).toSorted(), [A, B].toSorted());
      assert.deepEqual([found.isComplete(OWNER, 1, A), found.isComplete(OWNER, 1, B)], [true, false]);
      assert.deepEqual(found.pairs(), [{ owner: OWNER, generation: 1 }]);
    }
    assert.deepEqual(await recordsOf(held, A), whole(A));
    await change(held, put(A, { [keys.recipient(A, 1)]: 'CAROL' }, false));
    assert.equal((await recordsOf(held, A))[keys.recipient(A, 1)], 'CAROL');
    await held.change(
      { owner: OWNER, generation: 1 },
      [
        { id: A, drop: true },
        { id: B, drop: true },
      ],
      Buffer.alloc(0),
    );
    assert.deepEqual([held.size, held.pairs(), await allKeys(store)], [0, [], []]);
  });
});

test('the receipt of a message that leaves is kept in place of its copy, and is found', async () => {
  await withHeld(async (held, store, index) => {
    await change(held, put(A, whole(A), true));
    const receipt = {
      ...{ reversePath: 'a@sender.example', origin: ORIGIN, trace: 'T', arrived: 1, finished: 2, size: 3 },
      recipients: [{ recipient: { address: 'bob@peer.example' }, status: { state: 'waiting' as const } }],
    };
    const of = { owner: OWNER, generation: 1, ownerNode: 'edge-1' };
    const drop = (text: string): Promise<void> =>
      held.change(of, [{ id: A, drop: true, receipt: text }], Buffer.alloc(0));
    for (const wrong of ['', '{}', '{"reversePath":1}']) assert.equal(await codeOf(drop(wrong)), 'malformed');
    assert.equal(held.isComplete(OWNER, 1, A), true);
    await drop(JSON.stringify(receipt));
    const key = keys.receiptCopy(A);
    assert.deepEqual(await Array.fromAsync(store.keys({})), [key]);
    for (const to of ['bob@peer.example', 'carol@peer.example']) {
      const ids = await Array.fromAsync(index.ids(conditionsOf({ to }), idRange(undefined, undefined)));
      assert.deepEqual(
        ids.flatMap((some) => some.ids),
        to.startsWith('bob') ? [A] : [],
      );
    }
    assert.deepEqual(parseRecord(KeptReceipt, key, await store.get(key)), { node: 'edge-1', ...receipt });
  });
});

test('a drop takes with it what was written a moment before', async () => {
  await withHeld(async (held, store) => {
    await Promise.all([
      change(held, put(A, whole(A), true)),
      held.change({ owner: OWNER, generation: 1 }, [{ id: A, drop: true }], Buffer.alloc(0)),
    ]);
    assert.deepEqual(await allKeys(store), []);
  });
});

test('changes of a message that is not held make no message', async () => {
  await withHeld(async (held, store) => {
    await change(held, put(A, { [keys.message(A)]: 'held now', [keys.recipient(A, 0)]: 'bob' }, false));
    const [again] = [await HeldCopies.load(store, await indexOf(store))];
    assert.deepEqual([held.isComplete(OWNER, 1, A), again.isComplete(OWNER, 1, A)], [false, false]);
  });
});

test('a change that names strange records, or does not fit its bytes, changes nothing', async () => {
  await withHeld(async (held, store) => {
    for (const key of [
      'store',
      'claim!x',
      keys.message(B),
      keys.body(B, 0),
      `copy!x!${A}!y`,
      keys.receipt(A),
      `body!${A}`,
    ]) {
      assert.equal(await codeOf(change(held, put(A, { [key]: 'x' }, true))), 'malformed', key);
    }
    const [one, bytes] = put(A, whole(A), true);
    for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, bytes])])
      assert.equal(await codeOf(held.change({ owner: OWNER, generation: 1 }, [one], wrong)), 'malformed');
    assert.deepEqual([held.size, await allKeys(store)], [0, []]);
  });
});

test('after a write that failed nothing new counts as whole, and what was to go is still known', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  let failing = false;
  const broken = new Proxy(store, {
    get: (target, name) =>
      name === 'write' && failing
        ? () => Promise.reject(new SealpostError('store-failed', 'no space left'))
        : Reflect.get(target, name).bind(target),
  });
  const held = await HeldCopies.load(broken, await indexOf(store));
  await change(held, put(A, whole(A), true));
  failing = true;
  const both = held.change(
    { owner: OWNER, generation: 1 },
    [{ id: A, drop: true }, put(B, whole(B), true)[0]],
    put(B, whole(B), true)[1],
  );
  assert.equal(await codeOf(both), 'store-failed');
  assert.deepEqual([held.isComplete(OWNER, 1, A), held.isComplete(OWNER, 1, B)], [true, false]);
  failing = false;
  await held.change(
    { owner: OWNER, generation: 1 },
    [
      { id: A, drop: true },
      { id: B, drop: true },
    ],
    Buffer.alloc(0),
  );
  assert.deepEqual([held.size, await allKeys(store)], [0, []]);
  await store.close();
});

test('a copy that came again after the question is not deleted by the answer', async () => {
  await withHeld(async (held) => {
    await change(held, put(A, whole(A), true), put(B, whole(B), true));
    const asked = held.now;
    await change(held, put(A, whole(A), true));
    await held.drop(OWNER, 1, [A, B], asked);
    assert.deepEqual(held.ids(OWNER, 1), [A]);
  });
});
