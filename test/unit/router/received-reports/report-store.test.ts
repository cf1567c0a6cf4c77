import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { DMARC_REPORTS } from '#services/router/received-reports/kinds.ts';
import { ReportStore } from '#services/router/received-reports/report-store.ts';
import { keys, putJson, rangeOf } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import { tempDir } from '#test/kit/temp.ts';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2036, 0, 1);

function reportOf(id: string, end: number, rows = 1) {
  const row = { count: 1, disposition: 'none', dkim: true, spf: true, from: 'example.com' } as const;
  return {
    ...{ organisation: 'Receiver', id, domain: 'example.com', begin: end - DAY_MS, end, unreadable: 0 },
    rows: Array.from({ length: rows }, (_, n) => ({ source: `10.0.${n >> 8}.${n & 255}`, ...row })),
  };
}

test('reports go when their time ended longer ago than they are kept, and leave nothing', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger);
  await reports.keep(reportOf('old', NOW - 90 * DAY_MS - 1, 1200), NOW);
  await reports.keep(reportOf('new', NOW - 90 * DAY_MS), NOW);
  await store.write([{ type: 'put', key: keys.receipt('0'), value: Buffer.from('no report') }]);
  assert.equal(await reports.purge(NOW - 90 * DAY_MS), 1);
  assert.deepEqual(
    (await reports.page({})).parts.map(({ head }) => head.id),
    ['new'],
  );
  assert.equal((await Array.fromAsync(store.keys({}))).length, 3, 'head, rows and what else is there');
  assert.equal(await reports.keep(reportOf('old', NOW), NOW), true);
});

test('a damaged report is left out, and goes with the old ones; the others are told', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger);
  for (const id of ['a', 'b', 'c']) await reports.keep(reportOf(id, NOW), NOW);
  const [first = '', second = '', third = ''] = await Array.fromAsync(store.keys(rangeOf('report')));
  await store.write([
    { type: 'put', key: first, value: Buffer.from('rubbish') },
    { type: 'del', key: `report-rows!${second.slice('report!'.length)}!00000` },
  ]);
  const { parts } = await reports.page({});
  assert.deepEqual(
    parts.map(({ key }) => key),
    [third.slice('report!'.length)],
  );
  assert.equal(await reports.purge(NOW), 1);
});

test('who asks with a cursor of rubbish gets an answer', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger);
  await reports.keep(reportOf('a', NOW), NOW);
  for (const after of ['!', '!x', '0!-1', '~!5', '\u0000!1e9'])
    assert.ok((await reports.page({}, after)).parts.length <= 1, after);
});

test('a report in mail that passed DMARC takes the place of one that has its name, and not the other way', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger);
  const rows = async (): Promise<number> =>
    (await reports.page({})).parts.reduce((sum, part) => sum + part.rows.length, 0);
  assert.equal(await reports.keep(reportOf('a', NOW, 900), NOW, 'fail'), true);
  assert.equal(await reports.keep(reportOf('a', NOW, 1), NOW), false);
  assert.equal(await rows(), 900);
  assert.equal(await reports.keep(reportOf('a', NOW, 2), NOW, 'pass'), true);
  assert.equal(await reports.keep(reportOf('a', NOW, 3), NOW, 'pass'), false);
  assert.equal(await reports.keep(reportOf('a', NOW, 4), NOW, 'fail'), false);
  assert.equal(await rows(), 2);
  assert.equal((await Array.fromAsync(store.keys({}))).length, 2, 'nothing is left of the first');
});

const LIMITS = { proven: { reports: 4, bytes: 1e6 }, unproven: { reports: 2, bytes: 100_000 } };

async function ids(reports: ReportStore<ReportRow>): Promise<string[]> {
  const { parts } = await reports.page({});
  return [...new Set(parts.map(({ head }) => head.id))].sort();
}

test('unproven reports make room for each other, and take none from those in mail that passed DMARC', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger, LIMITS);
  for (const [n, id] of ['a', 'b', 'c'].entries()) await reports.keep(reportOf(id, NOW), NOW + n, 'pass');
  for (const [n, id] of ['x', 'y', 'z'].entries())
    await reports.keep(reportOf(id, NOW), NOW + n, n > 1 ? 'fail' : undefined);
  assert.deepEqual(await ids(reports), ['a', 'b', 'c', 'y', 'z']);
  assert.equal(await reports.keep(reportOf('y', NOW), NOW + 10, 'pass'), true);
  await reports.keep(reportOf('v', NOW), NOW + 11, 'fail');
  assert.deepEqual(await ids(reports), ['a', 'b', 'c', 'v', 'y', 'z'], 'what is proven later changes its share');
  await reports.keep(reportOf('d', NOW), NOW + 12, 'pass');
  assert.deepEqual(await ids(reports), ['b', 'c', 'd', 'v', 'y', 'z']);
});

test('a share is full by bytes too, and nothing is left of the reports that went', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger, LIMITS);
  await reports.keep(reportOf('large', NOW, 700), NOW);
  await reports.keep(reportOf('larger', NOW, 750), NOW + 1);
  assert.deepEqual(await ids(reports), ['larger']);
  assert.equal((await Array.fromAsync(store.keys({}))).length, 3, 'a head and two parts');
});

test('after a restart the oldest go first all the same, and what was purged counts no more', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const before = new ReportStore(DMARC_REPORTS, store, silentLogger, LIMITS);
  const days = [3, 1, 2, 4];
  for (const day of days) await before.keep(reportOf(`${day}`, NOW + day * DAY_MS), NOW + day * DAY_MS, 'pass');
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger, LIMITS);
  await reports.keep(reportOf('5', NOW + 5 * DAY_MS), NOW + 5 * DAY_MS, 'pass');
  assert.deepEqual(await ids(reports), ['2', '3', '4', '5']);
  assert.equal(await reports.purge(NOW + 4 * DAY_MS), 2);
  for (const day of [6, 7]) await reports.keep(reportOf(`${day}`, NOW + day * DAY_MS), NOW + day * DAY_MS, 'pass');
  assert.deepEqual(await ids(reports), ['4', '5', '6', '7']);
});

test('far too many from before go in batches, those that do not say their size too', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  const { rows: _, ...named } = reportOf('', NOW);
  const heads = Array.from({ length: 1200 }, (_, n) => ({ ...named, id: `${n}`, arrived: n, messages: 0, parts: 1 }));
  await store.write(heads.map((head, n) => putJson(`report!${n}`, head)));
  const reports = new ReportStore(DMARC_REPORTS, store, silentLogger, LIMITS);
  await reports.keep(reportOf('new', NOW), NOW);
  const left = await Array.fromAsync(store.keys(rangeOf('report')));
  assert.equal(left.length, 2);
  assert.ok(left.includes('report!1199'), 'the youngest of them');
});
