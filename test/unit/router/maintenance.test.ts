import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Level } from 'level';
import { Store } from '#cluster/store.ts';
import { Intake } from '#services/router/intake/intake.ts';
import { Maintenance } from '#services/router/maintenance.ts';
import { openReceivedReports } from '#services/router/received-reports/report-reader.ts';
import { Rules } from '#services/router/rules/rules.ts';
import { Bodies } from '#services/router/store/bodies.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { Space } from '#services/router/store/space.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { aloneCopies, indexOf, NO_REPORTS, settingsFor } from './fixture.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2036, 0, 1);

/** The housekeeping of a queue that is empty; `free`: bytes left on its disk. */
async function housekeeping(folder: string, free: () => number) {
  const settings = settingsFor(folder, {}, { keep: 7 * DAY });
  const store = await Store.open(folder, silentLogger);
  const space = new Space(folder, () => 0, free);
  const bodies = new Bodies(store);
  const index = await indexOf(store);
  const intake = new Intake({
    ...{ settings, index, log: silentLogger, store, space, bodies, deliver: () => undefined },
    writer: (await aloneCopies(settings, store, index)).sender,
    reports: NO_REPORTS,
    rules: new Rules(settings),
  });
  const reports = openReceivedReports(store, silentLogger);
  return {
    store,
    maintenance: new Maintenance({
      settings,
      store,
      index,
      slots: new Slots(),
      space,
      intake,
      reports,
      log: silentLogger,
    }),
  };
}

test('a compaction that the full disk stopped is made again, although no mail has left since', async () => {
  await using folder = await tempDir();
  const { store, maintenance } = await housekeeping(folder.path, () => 0);
  const compactions = mock.method(store, 'compact');
  // LevelDB tells it with the next write, after which the store is opened again.
  const broken = mock.method(Level.prototype, 'batch', async () => {
    throw Object.assign(new Error('IO error: 000005.ldb: No space left on device'), { code: 'LEVEL_IO_ERROR' });
  });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.close());
  undo.defer(() => maintenance.stop());
  maintenance.start();
  await waitFor(() => store.failure, { what: 'the failure' });
  assert.equal(compactions.mock.callCount(), 1);
  broken.mock.restore();
  await waitFor(() => compactions.mock.callCount() === 2, { what: 'the second one', timeout: 20_000 });
});

test('receipts go when their mail left longer ago than they are kept, however long it was in the queue', async () => {
  await using folder = await tempDir();
  const { store, maintenance } = await housekeeping(folder.path, () => 1);

  // Ids are made in the order of their times.
  const rows: [string, number, number | 'damaged', boolean][] = [
    ['damaged, old', 30 * DAY, 'damaged', false],
    ['old', 20 * DAY, 20 * DAY, false],
    ['arrived long ago, left lately', 9 * DAY, 5 * DAY, true],
    ['just too old', 8 * DAY, 7 * DAY + 1, false],
    ['just new enough', 7 * DAY - 1, 7 * DAY - 1, true],
    ['damaged, new', 1 * DAY, 'damaged', true],
    ['new', 1000, 1000, true],
  ];
  const expected: string[] = [];
  for (const [, arrived, finished, kept] of rows) {
    const key = keys.receipt(newQueueId(NOW - arrived));
    const operation =
      finished === 'damaged' ? putBytes(key, Buffer.from('?')) : putJson(key, { finished: NOW - finished });
    await store.write([operation]);
    if (kept) expected.push(key);
  }
  await store.write([putBytes(keys.message('0'), Buffer.from('not a receipt'))]);
  assert.equal(await maintenance.purgeReceipts(NOW), 3);
  const left: string[] = [];
  for await (const key of store.keys({})) left.push(key);
  assert.deepEqual(left, [keys.message('0'), ...expected]);
  await store.close();
});
