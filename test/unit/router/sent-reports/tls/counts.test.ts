import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { TlsCounts } from '#services/router/sent-reports/tls/counts.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { tlsResult } from '#test/kit/tls-reports/results.ts';

const NOON = Date.UTC(2030, 4, 1, 12);
const UNIT = 'one.example!2030-05-01';
const log = silentLogger;

/** Counts of a day, with a disk of their own. */
async function start(limits?: { units: number; rows: number }) {
  const folder = await tempDir('tls-counts');
  const store = await Store.open(folder.path, log);
  const deps = { store, log, now: () => NOON, ...(limits && { limits }) };
  const counts = await TlsCounts.load(deps);
  return {
    ...{ store, counts, deps },
    async [Symbol.asyncDispose](): Promise<void> {
      await store.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** All rows of a unit: how the session ended, and how often. */
async function rowsOf(counts: TlsCounts, unit = UNIT) {
  const rows: [string, number][] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page = await counts.rows.page(unit, 1, after);
    for (const { count, row } of page?.rows ?? []) rows.push([row.failure?.type ?? 'success', count]);
    after = page?.next;
  }
  return rows.sort();
}

test('sessions are added up in memory and on disk, each is counted once', async () => {
  await using site = await start();
  const { counts, deps } = site;
  for (let n = 0; n < 3; n++) counts.count(tlsResult('one.example'));
  await counts.settle();
  // While these are written, others come.
  counts.count(tlsResult('one.example'));
  const writing = counts.settle();
  counts.count(tlsResult('one.example'));
  counts.count(tlsResult('one.example', 'certificate-expired'));
  await writing;
  await counts.settle();
  const expected = [
    ['certificate-expired', 1],
    ['success', 5],
  ];
  assert.deepEqual(await rowsOf(counts), expected);
  assert.deepEqual(await rowsOf(await TlsCounts.load(deps)), expected);
});

test('what the disk does not take is kept, and counted when it does', async (t) => {
  await using site = await start();
  const { counts, store } = site;
  const write = t.mock.method(store, 'write', () => Promise.reject(new Error('the disk is full')));
  counts.count(tlsResult('one.example'));
  await assert.rejects(counts.settle(), /disk is full/);
  counts.count(tlsResult('one.example'));
  write.mock.restore();
  await counts.settle();
  assert.deepEqual(await rowsOf(counts), [['success', 2]]);
});

test('where there are too many different failures the others are counted without their details, the sums are right', async () => {
  await using site = await start({ units: 2, rows: 5 });
  const { counts } = site;
  for (let n = 0; n < 40; n++) {
    const host = { name: `mx${n}.one.example`, address: '192.0.2.1', localAddress: undefined };
    const type = n % 2 === 0 ? 'certificate-expired' : 'starttls-not-supported';
    counts.count(tlsResult('one.example', type, { host }));
    counts.count(tlsResult('one.example'));
    if (n % 10 === 0) await counts.settle();
  }
  await counts.settle();
  const { unit } = (await counts.rows.page(UNIT, 1, '')) ?? assert.fail();
  assert.equal(unit.uncounted, 0);
  const sums = new Map<string, number>();
  const rows = await rowsOf(counts);
  for (const [type, count] of rows) sums.set(type, (sums.get(type) ?? 0) + count);
  assert.deepEqual(Object.fromEntries(sums), { 'certificate-expired': 20, 'starttls-not-supported': 20, success: 40 });
  assert.equal(rows.length, 7);
  // A domain too many.
  counts.count(tlsResult('two.example'));
  counts.count(tlsResult('three.example'));
  await counts.settle();
  assert.equal(counts.rows.units('2030-05-01', '').length, 2);
});
