import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import type { StoreOperation } from '#cluster/store.ts';
import { loadedMessage, messageRecords } from '#services/router/store/message.ts';
import { openQueue } from '#services/router/store/open.ts';
import { keys, type MessageRecord, putBytes, type RecipientRecord } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { commitFields, messageOf } from '#test/unit/router/fixture.ts';

/** Fills the queue of a node that does not run, with the records that a node writes. */

export type Filling = {
  /** `node.data` of the node. */
  folder: string;
  messages: number;
  /** How many domains they go to. */
  destinations: number;
  /** Bytes of a message. */
  size: number;
  /** When the n-th message is due: ms from now. */
  dueIn: (n: number) => number;
  /** Where the n-th message goes, if not to one of the many domains. */
  to?: (n: number) => string | undefined;
  /** The key of the next hop that put it off, if that is not the MX of its domain. */
  hop?: (n: number) => string;
  /** Its reverse-path, if not one of five thousand. */
  from?: (n: number) => string;
};

const BATCH = 500;
/** The oldest message came so long ago. */
const AGE_MS = 3 * 3600_000;

export async function fill({ folder, messages, destinations, size, dueIn, to, hop, from }: Filling): Promise<void> {
  const settings = new Settings(ConfigSchema.parse({ node: { data: folder } }));
  const { store } = await openQueue(settings, silentLogger);
  const bytes = messageOf(size);
  const { facts } = commitFields(bytes);
  const began = Date.now();
  let operations: StoreOperation[] = [];
  let writing: Promise<void> = Promise.resolve();
  for (let n = 0; n < messages; n++) {
    const arrived = began - AGE_MS + Math.floor((n / messages) * AGE_MS);
    const id = newQueueId(arrived);
    const domain = `d${n % destinations}.dead.test`;
    const address = to?.(n) ?? `user${n}@${domain}`;
    const reversePath = from?.(n) ?? `sender${n % 5000}@sender.test`;
    const about = { ...record(n, arrived, facts, bytes.length), reversePath };
    const message = loadedMessage(id, about, [recipient(address, began + dueIn(n), hop?.(n))]);
    operations.push(...messageRecords(message), putBytes(keys.body(id, 0), bytes));
    if (n % BATCH !== BATCH - 1) continue;
    await writing;
    writing = store.write(operations);
    operations = [];
  }
  await writing;
  if (operations.length > 0) await store.write(operations);
  await store.close();
}

function record(n: number, arrived: number, facts: MessageRecord['facts'], size: number): MessageRecord {
  return {
    reversePath: '',
    smtpUtf8: false,
    origin: {
      session: `SESSION${n % 10_000}`,
      listener: 'mx',
      kind: 'relay',
      client: { address: '192.0.2.9', name: 'client.sender.test', helo: 'client.sender.test' },
    },
    trace: `TRACE${n}`,
    arrived,
    facts,
    prepend: 'Received: from client.sender.test (client.sender.test [192.0.2.9]) by edge.test; today\r\n',
    originating: false,
    junk: false,
    chunks: [size],
    recipients: 1,
    held: false,
    delayNoticed: true,
  };
}

function recipient(address: string, nextAttempt: number, hop?: string): RecipientRecord {
  const domain = address.slice(address.indexOf('@') + 1);
  return {
    recipient: { address },
    status: {
      state: 'deferred',
      attempts: 4,
      nextAttempt,
      outcome: {
        at: nextAttempt - 3_600_000,
        host: `mx.${domain}[192.0.2.77]:25`,
        reply: reply(451, '4.4.1', 'connect to 192.0.2.77 port 25: connection timed out'),
      },
    },
    nextHop: hop ?? `mx:${domain}`,
    signatures: [],
  };
}
