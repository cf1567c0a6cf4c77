import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import type { StoreOperation } from '#cluster/store.ts';
import { SearchIndex } from '#services/router/receipts/search-index.ts';
import { openQueue } from '#services/router/store/open.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';

/** Fills the store of a node that does not run with receipts of mail that has left, and their search index. */

export type Receipts = {
  /** `node.data` of the node. */
  folder: string;
  count: number;
  /** The oldest arrived so long ago, in ms. */
  age: number;
  /** One in so many failed. */
  failed: number;
};

const BATCH = 1000;
const TAKEN = reply(250, '2.0.0', 'taken');
const UNKNOWN = reply(550, '5.1.1', 'no such user');

export async function fillReceipts({ folder, count, age, failed }: Receipts): Promise<void> {
  const settings = new Settings(ConfigSchema.parse({ node: { data: folder } }));
  const { store } = await openQueue(settings, silentLogger);
  const index = await SearchIndex.open({ store, log: silentLogger });
  await index.read;
  const began = Date.now();
  for (let n = 0; n < count; n += BATCH) {
    const operations = Array.from({ length: Math.min(BATCH, count - n) }, (_, i) => {
      const arrived = began - age + Math.floor(((n + i) / count) * age);
      return receiptOf(index, n + i, arrived, (n + i) % failed === 0);
    });
    await store.write(operations.flat());
  }
  await index.stop();
  await store.close();
}

/** Most mail is from one domain, to many; a few addresses have a lot of it. */
function receiptOf(index: SearchIndex, n: number, arrived: number, isFailed: boolean): StoreOperation[] {
  const id = newQueueId(arrived);
  const domain = `peer${n % 3001}.example`;
  const recipient = { address: `user${n % 997}@${domain}` };
  const reversePath = `sender${n % 251}@example.com`;
  const messageId = `<${n}.bench@example.com>`;
  const outcome = { at: arrived + 1000, host: `mx.${domain} [192.0.2.1]`, reply: isFailed ? UNKNOWN : TAKEN };
  const status = { state: isFailed ? ('failed' as const) : ('delivered' as const), outcome };
  const receipt = {
    ...{ reversePath, trace: `TRACE${n}`, arrived, messageId, finished: arrived + 1000, size: 2000 },
    origin: {
      ...{ session: `SESSION${n}`, listener: 'mx', kind: 'relay' },
      client: { address: '192.0.2.9', name: 'client.example', helo: 'client.example' },
    },
    recipients: [{ recipient, status, nextHop: `mx:${domain}` }],
  };
  return [
    putJson(keys.receipt(id), receipt),
    ...index.add(id, { reversePath, messageId, recipients: [{ recipient }] }),
  ];
}
