import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReplicatedMap, Updater } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { Adoptions } from '#services/router/copies/adoptions.ts';
import { asPair, type ClaimRecord, pairKey } from '#services/router/copies/claims.ts';
import { HeldCopies } from '#services/router/copies/held-copies.ts';
import { LeaseWatch } from '#services/router/copies/lease-watch.ts';
import { TakeOver, type TakeOverDeps } from '#services/router/copies/take-over.ts';
import { idRange } from '#services/router/receipts/ids.ts';
import { encodeBlock } from '#services/router/receipts/index-block.ts';
import { conditionsOf } from '#services/router/receipts/query.ts';
import type { SearchIndex } from '#services/router/receipts/search-index.ts';
import { loadedMessage, messageRecords } from '#services/router/store/message.ts';
import { keys, type MessageRecord, putBytes } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { indexOf, LATER, ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

const [OWNER, OWN] = ['OWNEROWNEROW', 'HOLDERHOLDER'];
const KEY = pairKey(OWNER, OWN);

/** A take-over of the only pair that the claims have, and that pair as it is. */
async function takingOver(path: string, store: Store, held: HeldCopies, log: Logger) {
  const index = await indexOf(store);
  let pair: ClaimRecord = { kind: 'pair', generation: 1, state: 'claimed', adopted: false, dropped: false };
  const map = {
    state: 'following',
    get: (key: string) => (key === KEY ? { key, version: 1, value: pair } : undefined),
    entries: () => [{ key: KEY, version: 1, value: pair }],
    update: async (_: string, fn: Updater<ClaimRecord>) => {
      pair = fn(pair, KEY) ?? pair;
    },
  } as unknown as ReplicatedMap<ClaimRecord>;
  const slots = new Slots();
  const due: number[] = [];
  const adoptions = await Adoptions.load({ store, own: OWN, map, held, log });
  const takeOver = new TakeOver({
    ...{ settings: settingsFor(path), log, own: OWN, store, slots, map, held, adoptions },
    index,
    watch: new LeaseWatch(map, OWN),
    queue: { schedule: (_, time) => due.push(time) } as Partial<TakeOverDeps['queue']> as TakeOverDeps['queue'],
    router: {} as TakeOverDeps['router'],
    onAdopted: () => undefined,
  });
  return { takeOver, adoptions, slots, due, index, pair: () => pair };
}

const RECORD: MessageRecord = {
  ...{ reversePath: 'alice@sender.example', smtpUtf8: false, origin: ORIGIN, trace: 'T', arrived: 1, prepend: '' },
  facts: { headerBytes: 1, size: 1, bodyHash: '', eightBitBody: false, eightBitHeader: false },
  ...{ originating: false, junk: false, chunks: [1], recipients: 1, held: false, delayNoticed: false },
};

/** Keep the copy of a message for its owner. */
async function hold(held: HeldCopies, id: string, record: MessageRecord, status: RecipientStatus): Promise<void> {
  const message = loadedMessage(id, record, [{ recipient: { address: 'bob@peer.example' }, status }]);
  const records = messageRecords(message).flatMap((o) => (o.type === 'put' ? [o] : []));
  await held.change(
    { owner: OWNER, generation: 1 },
    [{ id, put: records.map(({ key, value }) => ({ key, size: value.length })), complete: true }],
    Buffer.concat(records.map(({ value }) => value)),
  );
}

test('a copy that this disk does not give back is reported once, and the others are taken over', async () => {
  await using folder = await tempDir();
  const { log, lines } = logLines();
  const store = await Store.open(folder.path, log);
  const held = await HeldCopies.load(store, await indexOf(store));
  const ids = [newQueueId(), newQueueId(), newQueueId()];
  for (const id of ids) {
    const put = [keys.recipient(id, 0), keys.message(id)].map((key) => ({ key, size: 1 }));
    await held.change({ owner: OWNER, generation: 1 }, [{ id, put, complete: true }], Buffer.from('xx'));
  }
  const records = held.records.bind(held);
  held.records = async function* (owner, generation, id) {
    for await (const record of records(owner, generation, id)) {
      yield record;
      if (id === ids[1]) throw new SealpostError('store-damaged', 'a block has the wrong sum');
    }
  };
  const { takeOver, adoptions, slots, pair } = await takingOver(folder.path, store, held, log);
  for (let n = 0; n < 3; n++) await takeOver.tick();
  assert.deepEqual([...slots.all()].map(({ id }) => id).toSorted(), [ids[0], ids[2]].toSorted());
  assert.equal(takeOver.takenOver, 2);
  // Its owner keeps what may be whole there.
  assert.equal(asPair(pair())?.adopted, false);
  assert.deepEqual(adoptions.answer({ owner: OWNER, holder: OWN, generation: 1 }), { adopted: false, held: 1 });
  assert.deepEqual(held.ids(OWNER, 1), [ids[1]]);
  const damaged = [keys.message(ids[1] ?? ''), keys.recipient(ids[1] ?? '', 0)];
  assert.deepEqual(await store.getMany(damaged), [undefined, undefined]);
  assert.equal(lines().filter(({ msg }) => msg.includes('cannot be read')).length, 1);
  await takeOver.stop();
  await store.close();
});

test('a flipped bit in the record of what was taken over does not keep the router from starting', async () => {
  await using folder = await tempDir();
  const { log, lines } = logLines();
  const store = await Store.open(folder.path, log);
  const pair: ClaimRecord = { kind: 'pair', generation: 3, state: 'claimed', adopted: true, dropped: false };
  const map = { entries: () => [{ key: KEY, version: 1, value: pair }] } as unknown as ReplicatedMap<ClaimRecord>;
  const deps = { store, own: OWN, map, held: await HeldCopies.load(store, await indexOf(store)), log };
  await Adoptions.load(deps);
  const sealed = Buffer.from((await store.get(keys.adopted)) ?? '');
  sealed[20] = (sealed[20] ?? 0) ^ 4;
  await store.write([{ type: 'put', key: keys.adopted, value: sealed }]);
  for (let start = 0; start < 2; start++) {
    const adoptions = await Adoptions.load(deps);
    const question = { owner: OWNER, holder: OWN, generation: 3 };
    assert.deepEqual(adoptions.answer(question), { adopted: true, held: 0 });
  }
  assert.equal(lines().filter(({ msg }) => msg.includes('is damaged')).length, 1);
  await store.close();
});

test('copies whose keys cannot be read keep no router from starting, and no owner deletes its mail for them', async () => {
  await using folder = await tempDir();
  const { log } = logLines();
  const store = await Store.open(folder.path, log);
  const before = await HeldCopies.load(store, await indexOf(store));
  const [first, second] = [newQueueId(), newQueueId()].toSorted() as [string, string];
  for (const id of [first, second]) {
    const put = [keys.recipient(id, 0), keys.message(id)].map((key) => ({ key, size: 1 }));
    await before.change({ owner: OWNER, generation: 1 }, [{ id, put, complete: true }], Buffer.from('xx'));
  }
  const keysIn = store.keys.bind(store);
  store.keys = async function* (range) {
    for await (const key of keysIn(range)) {
      if (key.includes(second)) throw new SealpostError('store-damaged', 'a bad entry in a block');
      yield key;
    }
  };
  const held = await HeldCopies.load(store, await indexOf(store));
  assert.deepEqual(held.ids(OWNER, 1), [first]);
  const { takeOver, adoptions, slots, pair } = await takingOver(folder.path, store, held, log);
  for (let n = 0; n < 3; n++) await takeOver.tick();
  assert.deepEqual(
    [...slots.all()].map(({ id }) => id),
    [first],
  );
  assert.equal(asPair(pair())?.adopted, false);
  assert.deepEqual(adoptions.answer({ owner: OWNER, holder: OWN, generation: 1 }), { adopted: false, held: 1 });
  await takeOver.stop();
  await store.close();
});

test('mail that is taken over is found, although it is older than what the index has on disk', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const [old, recent] = [newQueueId(), newQueueId()];
  await store.write([putBytes(keys.index(`${recent}0`, ''), encodeBlock([{ id: recent, terms: [] }]))]);
  const held = await HeldCopies.load(store, await indexOf(store));
  await hold(held, old, RECORD, { state: 'waiting' });
  const { takeOver, index } = await takingOver(folder.path, store, held, silentLogger);
  await index.read;
  await takeOver.tick();
  const find = async (searched: SearchIndex): Promise<string[]> => {
    const found = searched.ids(conditionsOf({ to: 'bob@peer.example' }), idRange(undefined, undefined));
    return (await Array.fromAsync(found)).flatMap(({ ids }) => ids);
  };
  assert.deepEqual(await find(index), [old]);
  // As after a crash.
  const again = await indexOf(store);
  assert.deepEqual(await find(again), [old]);
  await again.read;
  assert.deepEqual(await find(again), [old]);
  await takeOver.stop();
  await store.close();
});

test('mail that an operator wanted to be tried now is due when it is taken over, other mail when it was', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const held = await HeldCopies.load(store, await indexOf(store));
  const outcome = { at: Date.now(), reply: LATER };
  const nextAttempt = Date.now() + 3_600_000;
  const status: RecipientStatus = { state: 'deferred', attempts: 1, nextAttempt, outcome };
  await hold(held, newQueueId(), RECORD, status);
  await hold(held, newQueueId(), { ...RECORD, retry: outcome.at + 1 }, status);
  const { takeOver, slots, due } = await takingOver(folder.path, store, held, silentLogger);
  await takeOver.tick();
  assert.deepEqual(due, [nextAttempt, 0]);
  assert.deepEqual(
    [...slots.all()].map(({ forced }) => forced),
    [false, true],
  );
  await takeOver.stop();
  await store.close();
});
