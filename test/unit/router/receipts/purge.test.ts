import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { keepReceipt } from '#services/router/receipts/kept.ts';
import { purgeReceipts } from '#services/router/receipts/purge.ts';
import { entriesOf } from '#services/router/receipts/terms.ts';
import { keys, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2037, 0, 1);
const END = NOW - 7 * DAY;

test('receipts go with their entries, those of other nodes as well; an entry that leads nowhere goes when it is as old', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const slots = new Slots();
  const expected: string[] = [];
  /** Ids are made in the order of their times. */
  const receipt = async (arrived: number, finished: number, kept: boolean): Promise<void> => {
    const id = newQueueId(NOW - arrived);
    const fields = {
      ...{ reversePath: 'a@sender.example', messageId: '<1@sender.example>', finished: NOW - finished },
      recipients: [{ recipient: { address: `${id}@peer.example` } }],
    };
    const own = [putJson(keys.receipt(id), fields), ...entriesOf('put', id, fields)];
    const other = keepReceipt(newQueueId(NOW - arrived), JSON.stringify(fields), 'edge-2');
    await store.write([...own, ...other]);
    if (kept) expected.push(...[...own, ...other].map(({ key }) => key));
  };
  const entries = async (
    arrived: number,
    kept: boolean,
    more: (id: string) => void = () => undefined,
  ): Promise<void> => {
    const id = newQueueId(NOW - arrived);
    more(id);
    const operations = entriesOf('put', id, {
      reversePath: '',
      recipients: [{ recipient: { address: 'b@c.example' } }],
    });
    await store.write(operations);
    if (kept) expected.push(...operations.map(({ key }) => key));
  };
  await receipt(30 * DAY, 20 * DAY, false);
  // Of a message that is gone without a receipt, and of one that still waits.
  await entries(25 * DAY, false);
  await entries(24 * DAY, true, (id) => slots.add(id, 'hold'));
  await receipt(9 * DAY, 5 * DAY, true);
  const damaged = newQueueId(NOW - 8 * DAY);
  await store.write([putBytes(keys.receipt(damaged), Buffer.from('?'))]);
  await store.write(entriesOf('put', damaged, { reversePath: 'x@y.example', recipients: [] }));
  await receipt(8 * DAY, 7 * DAY + 1, false);
  await entries(DAY, true);
  await receipt(DAY, 1000, true);

  assert.equal(await purgeReceipts({ store, slots }, END, () => false), 5);
  assert.deepEqual((await Array.fromAsync(store.keys({}))).toSorted(), expected.toSorted());
  await store.close();
});
