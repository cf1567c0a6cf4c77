import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { keepReceipt } from '#services/router/receipts/kept.ts';
import { purgeReceipts } from '#services/router/receipts/purge.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { indexOf } from '#test/unit/router/fixture.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2037, 0, 1);
const END = NOW - 7 * DAY;

test('receipts go when they are old, and those of other nodes', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const index = await indexOf(store);
  const expected: string[] = [];
  /** Ids are made in the order of their times. */
  const receipt = async (arrived: number, finished: number, kept: boolean): Promise<void> => {
    const id = newQueueId(NOW - arrived);
    const fields = {
      ...{ reversePath: 'a@sender.example', messageId: '<1@sender.example>', finished: NOW - finished },
      recipients: [{ recipient: { address: `${id}@peer.example` } }],
    };
    const own = putJson(keys.receipt(id), fields);
    const other = keepReceipt(index, newQueueId(NOW - arrived), JSON.stringify(fields), 'edge-2');
    await store.write([own, ...other]);
    if (kept) expected.push(...[own, ...other].map(({ key }) => key));
  };
  await receipt(30 * DAY, 20 * DAY, false);
  await receipt(9 * DAY, 5 * DAY, true);
  const damaged = newQueueId(NOW - 8 * DAY);
  await store.write([putBytes(keys.receipt(damaged), Buffer.from('?'))]);
  await receipt(8 * DAY, 7 * DAY + 1, false);
  await receipt(DAY, 1000, true);

  assert.equal(await purgeReceipts({ store, index }, END, () => false), 5);
  assert.deepEqual((await Array.fromAsync(store.keys({}))).toSorted(), expected.toSorted());
  await index.stop();
  await store.close();
});
