import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { Counts } from '#services/router/sent-reports/dmarc/counts.ts';
import { noteOf } from '#services/router/sent-reports/dmarc/note.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { ORIGIN } from '#test/unit/router/fixture.ts';
import { found } from './found.ts';

const DAY_MS = 86_400_000;
const NOON = Date.UTC(2030, 4, 1, 12);
const UNIT = 'one.example!2030-05-01';
const log = silentLogger;
const now = (): number => NOON + DAY_MS;

/** Write a note as the intake does; `address`: of the client. */
async function note(store: Store, counts: Counts, address = '192.0.2.1', at = NOON): Promise<() => void> {
  const origin = { ...ORIGIN, client: { ...ORIGIN.client, address } };
  const made = noteOf(found('one.example'), { origin, reversePath: 'a@one.example', at }) ?? assert.fail();
  const id = newQueueId();
  await store.write([counts.writing(id, made)]);
  return () => counts.written(id, made);
}

async function close(counts: Counts, day: string): Promise<void> {
  await counts.settle();
  await counts.rows.close(day);
}

const rowsOf = async (counts: Counts, unit = UNIT) =>
  (await counts.rows.page(unit, 1, ''))?.rows.map(({ count, row }) => [row.source, count]).sort();

test('a note that was not counted when the process died is counted once after its start', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  const counts = await Counts.load({ store, log, now });
  (await note(store, counts))();
  await counts.settle();
  await note(store, counts);
  await note(store, counts, '192.0.2.2');
  for (const _ of [1, 2]) {
    const again = await Counts.load({ store, log, now });
    assert.deepEqual(await rowsOf(again), [
      ['192.0.2.1', 2],
      ['192.0.2.2', 1],
    ]);
  }
  await store.close();
});

test('a day that is closed gets no more rows, they come on the next; what is reported is deleted', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  const counts = await Counts.load({ store, log, now });
  (await note(store, counts))();
  await close(counts, '2030-05-01');
  (await note(store, counts, '192.0.2.2'))();
  await counts.settle();
  assert.deepEqual(await rowsOf(counts), [['192.0.2.1', 1]]);
  assert.deepEqual(counts.rows.units('2030-05-02', ''), [UNIT, 'one.example!2030-05-02']);
  await counts.rows.tidy(NOON, (unit, epoch) => unit === UNIT && epoch === 1);
  assert.deepEqual(counts.rows.units('2030-05-02', ''), ['one.example!2030-05-02']);
  // What nobody asks for in two weeks goes too.
  await counts.rows.tidy(NOON + 16 * DAY_MS, () => false);
  for await (const key of store.keys({ gte: 'dmarc-row!', lt: 'dmarc-row"' })) assert.fail(key);
  await store.close();
});

test('more rows and domains than the limits are not counted, and a unit knows how many messages that are', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  const counts = await Counts.load({ store, log, now, limits: { rows: 3, units: 1 } });
  for (let n = 1; n <= 5; n++) (await note(store, counts, `192.0.2.${n}`))();
  (await note(store, counts, '192.0.2.1'))();
  (await note(store, counts, '192.0.2.1', NOON + DAY_MS))();
  await counts.settle();
  const { unit, rows } = (await counts.rows.page(UNIT, 1, '')) ?? assert.fail();
  assert.deepEqual([rows.length, unit.uncounted, rows.find(({ row }) => row.source === '192.0.2.1')?.count], [3, 2, 2]);
  assert.deepEqual(counts.rows.units('2030-05-09', ''), [UNIT]);
  await store.close();
});

test('a day that a wrong clock closed is open again when the clock is right', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  let time = NOON + 3000 * DAY_MS;
  const counts = await Counts.load({ store, log, now: () => time });
  await close(counts, '2037-01-01');
  time = NOON;
  (await note(store, counts))();
  await counts.settle();
  assert.deepEqual(await rowsOf(counts), [['192.0.2.1', 1]]);
  time = NOON + DAY_MS;
  await close(counts, '2030-05-01');
  (await note(store, counts))();
  await counts.settle();
  assert.deepEqual(counts.rows.units('2030-05-02', ''), [UNIT, 'one.example!2030-05-02']);
  await store.close();
});

test('what the disk has lost counts as missing, and stops neither the start nor the reports', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  const damage = new SealpostError('store-damaged', 'a part of the store cannot be read');
  let damaged = (_: string): boolean => false;
  const broken: Pick<Store, 'get' | 'getMany' | 'write' | 'entries'> = {
    get: async (key) => (damaged(key) ? Promise.reject(damage) : store.get(key)),
    getMany: async (keys) => (keys.some(damaged) ? Promise.reject(damage) : store.getMany(keys)),
    write: (operations) => store.write(operations),
    async *entries(range) {
      for await (const entry of store.entries(range)) {
        if (damaged(entry[0])) throw damage;
        yield entry;
      }
    },
  };
  const deps = { store: broken as Store, log, now };
  const counts = await Counts.load(deps);
  await close(counts, '2030-04-30');
  (await note(store, counts))();
  (await note(store, counts, '192.0.2.2'))();
  await counts.settle();
  damaged = (key) => key === 'dmarc-closed';
  assert.deepEqual((await Counts.load(deps)).rows.units('2030-05-01', ''), [UNIT]);
  damaged = (key) => key.startsWith('dmarc-row!');
  assert.deepEqual(await rowsOf(counts), []);
  damaged = (key) => key.startsWith('dmarc-unit!');
  assert.equal(await counts.rows.page(UNIT, 1, ''), undefined);
  damaged = (key) => key.startsWith('dmarc-row!');
  await counts.rows.tidy(NOON, () => true);
  assert.deepEqual(counts.rows.units('2030-05-01', ''), []);
  await store.close();
});

test('notes are counted with two reads; where one row is damaged, the others are read, and it is logged', async (t) => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, log);
  const { log: kept, lines } = logLines();
  const counts = await Counts.load({ store, log: kept, now });
  for (let n = 1; n <= 20; n++) (await note(store, counts, `192.0.2.${n}`))();
  await counts.settle();
  const many = t.mock.method(store, 'getMany');
  const one = t.mock.method(store, 'get');
  for (let n = 1; n <= 20; n++) (await note(store, counts, `192.0.2.${n}`))();
  await counts.settle();
  assert.deepEqual([many.mock.callCount(), one.mock.callCount()], [2, 0]);

  const damage = new SealpostError('store-damaged', 'a part of the store cannot be read');
  const [first] = many.mock.calls[1]?.arguments[0] ?? [];
  many.mock.mockImplementation(() => Promise.reject(damage));
  const get = store.get.bind(store);
  t.mock.method(store, 'get', (key: string) => (key === first ? Promise.reject(damage) : get(key)));
  for (let n = 1; n <= 20; n++) (await note(store, counts, `192.0.2.${n}`))();
  await counts.settle();
  assert.deepEqual(
    lines().map(({ level, key }) => [level, key]),
    [['error', first]],
  );
  assert.deepEqual((await rowsOf(counts))?.map(([, count]) => count).sort(), [
    1,
    ...Array.from({ length: 19 }, () => 3),
  ]);
  await store.close();
});
