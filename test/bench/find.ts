import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { findPage } from '#services/router/receipts/search.ts';
import { SearchIndex } from '#services/router/receipts/search-index.ts';
import { loadedMessage, messageRecords } from '#services/router/store/message.ts';
import { STORE_OPTIONS } from '#services/router/store/open.ts';
import { keys, type MessageRecord, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { tempDir } from '#test/kit/temp.ts';
import { LATER, OK, ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

/**
 * How long a search takes: the first page of each question, over receipts of a week and a queue.
 *
 *   node test/bench/find.ts [--receipts 100000] [--queued 20000]
 */

const { values } = parseArgs({
  options: { receipts: { type: 'string', default: '100000' }, queued: { type: 'string', default: '20000' } },
});
const [receipts, queued] = [Number(values.receipts), Number(values.queued)];
const WEEK_MS = 7 * 86_400_000;
const GROUP = 1000;

await using folder = await tempDir('sealpost-bench');
const settings = settingsFor(folder.path);
const store = await Store.open(join(folder.path, 'queue'), silentLogger, STORE_OPTIONS);
const slots = new Slots();
const index = await SearchIndex.open({ store, log: silentLogger });
const start = Date.now() - WEEK_MS;
const total = receipts + queued;

/** One in six waits. Most mail is from one domain, to many; a few addresses have a lot of it. */
function operationsOf(n: number): StoreOperation[] {
  const arrived = start + Math.floor((n / total) * WEEK_MS);
  const id = newQueueId(arrived);
  const recipient = { address: `user${n % 997}@peer${n % 3001}.example` };
  const reversePath = `sender${n % 251}@example.com`;
  const messageId = `<${n}.bench@example.com>`;
  const fields = { reversePath, origin: ORIGIN, trace: 'TRACE', arrived };
  const searchable = { reversePath, messageId, recipients: [{ recipient }] };
  const entries = index.add(id, searchable);
  if (n % Math.round(total / queued) !== 0) {
    const outcome = { at: arrived, host: 'mx.peer.example [192.0.2.1]', reply: OK };
    const recipients = [{ recipient, status: { state: 'delivered' as const, outcome }, nextHop: 'mx:peer.example' }];
    return [putJson(keys.receipt(id), { ...fields, messageId, finished: arrived, size: 2000, recipients }), ...entries];
  }
  const record: MessageRecord = {
    ...{ ...fields, smtpUtf8: false, prepend: '', originating: false, junk: false, chunks: [2000], recipients: 1 },
    facts: { headerBytes: 100, size: 2000, bodyHash: '', eightBitBody: false, eightBitHeader: false, messageId },
    ...{ held: false, delayNoticed: false },
  };
  slots.add(id, 'deferred');
  const outcome = { at: arrived, host: 'mx.peer.example [192.0.2.1]', reply: LATER };
  const status = { state: 'deferred' as const, attempts: 3, nextAttempt: arrived, outcome };
  return [...messageRecords(loadedMessage(id, record, [{ recipient, status }])), ...entries];
}

for (let n = 0; n < total; n += GROUP) {
  const size = Math.min(GROUP, total - n);
  await store.write(Array.from({ length: size }, (_, i) => operationsOf(n + i)).flat());
}

const deps = { settings, store, slots, index, log: silentLogger };
const questions: [string, MessageSearch][] = [
  ['a sender', { from: 'sender17@example.com' }],
  ['a recipient', { to: 'user5@peer5.example' }],
  ['a recipient that had no mail', { to: 'nobody@nowhere.example' }],
  ['a domain of all senders', { from: 'example.com' }],
  ['a domain of recipients', { to: 'peer17.example' }],
  ['a Message-ID', { messageId: '<77.bench@example.com>' }],
  ['sender and recipient', { from: 'example.com', to: 'user5@peer5.example' }],
  ['anything', { about: 'user5@peer5.example' }],
  ['the last hour', { since: Date.now() - 3_600_000 }],
];
process.stdout.write(`${receipts} receipts and ${queued} queued messages\n`);
for (const [what, search] of questions) {
  const times: number[] = [];
  const cpu = process.cpuUsage();
  let [found, pages] = [0, 0];
  for (let run = 0; run < 5; run++) {
    const began = performance.now();
    [found, pages] = [0, 0];
    for (let below: string | undefined; found < 100; ) {
      const page = await findPage(deps, { ...search, below, limit: 100 });
      found += page.messages.length;
      pages++;
      if (page.next === undefined) break;
      below = page.next;
    }
    times.push(performance.now() - began);
  }
  const [best = 0] = times.toSorted((a, b) => a - b);
  const worst = Math.max(...times);
  const { user, system } = process.cpuUsage(cpu);
  const used = `processor ${((user + system) / 1000 / times.length).toFixed(0)} ms`;
  process.stdout.write(
    `${what}: ${found} in ${pages} pages, ${best.toFixed(0)} ms (slowest ${worst.toFixed(0)} ms), ${used}\n`,
  );
}
await index.stop();
await store.close();
