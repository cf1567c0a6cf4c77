import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/**
 * However a message ends, it leaves one receipt that says so, which is found by its sender, its recipients and its Message-ID,
 * also after a restart, and not when it is purged.
 */

const DAY_MS = 86_400_000;
/** Nothing is kept, also where another file of this process moved the clock ahead: its ids stay ahead then. */
const NONE = -1000 * DAY_MS;
const NOBODY = { reversePath: '' };
const BOB = 'bob@peer.example';

type Change = (router: TestRouter, operation: 'remove' | 'bounce' | 'release', queueId: string) => Promise<unknown>;
const change: Change = async (router, operation, queueId) =>
  router.service.handlers['queue-change'](
    { operation, filter: { ids: [queueId] }, by: 'root on edge-1', dryRun: false },
    router.context(),
  );

type End = {
  sender: string;
  /** Of the message alone; a notice of it has a receipt of its own. */
  ends: string[];
  notices: number;
  reach: (router: TestRouter, queueId: string, again: () => Promise<TestRouter>) => Promise<void>;
};

const failed = async (router: TestRouter): Promise<void> => (await router.delivery.next()).end('failed', NO_USER);
const isHeld = async (router: TestRouter): Promise<void> => {
  await waitFor(async () => (await router.status()).hold === 1, { what: 'it to be held' });
};
/** The notice about it leaves. */
const told = async (router: TestRouter): Promise<void> => {
  const notice = await router.delivery.next('the notice');
  assert.equal(notice.job.reversePath, '');
  await notice.end('delivered', OK);
};

const ENDS: Record<string, End> = {
  delivered: {
    ...{ sender: 'alice@sender.example', ends: ['delivered 250'], notices: 0 },
    reach: async (router) => (await router.delivery.next()).end('delivered', OK),
  },
  returned: {
    ...{ sender: 'alice@sender.example', ends: ['failed 550'], notices: 1 },
    async reach(router) {
      await failed(router);
      await told(router);
    },
  },
  'returned by an operator': {
    ...{ sender: 'alice@sender.example', ends: ['failed 550'], notices: 1 },
    async reach(router, queueId) {
      await (await router.delivery.next()).end('deferred', LATER);
      await change(router, 'bounce', queueId);
      await told(router);
    },
  },
  removed: {
    ...{ sender: 'alice@sender.example', ends: ['failed 550'], notices: 0 },
    async reach(router, queueId) {
      await (await router.delivery.next()).end('deferred', LATER);
      await change(router, 'remove', queueId);
    },
  },
  'removed while an attempt delivers it': {
    ...{ sender: 'alice@sender.example', ends: ['delivered 250'], notices: 0 },
    async reach(router, queueId) {
      const attempt = await router.delivery.next();
      await change(router, 'remove', queueId);
      await attempt.end('delivered', OK);
    },
  },
  'a dead letter, removed': {
    ...{ sender: '', ends: ['failed 550'], notices: 0 },
    async reach(router, queueId) {
      await failed(router);
      await isHeld(router);
      await change(router, 'remove', queueId);
    },
  },
  'a dead letter, removed after a restart': {
    ...{ sender: '', ends: ['failed 550'], notices: 0 },
    async reach(router, queueId, again) {
      await failed(router);
      await isHeld(router);
      await change(await again(), 'remove', queueId);
    },
  },
  'a dead letter that an operator cannot return, and removes': {
    ...{ sender: '', ends: ['failed 550'], notices: 0 },
    async reach(router, queueId) {
      await failed(router);
      await isHeld(router);
      await change(router, 'bounce', queueId);
      await isHeld(router);
      await change(router, 'remove', queueId);
    },
  },
  'a dead letter, released after a restart and delivered': {
    ...{ sender: '', ends: ['delivered 250'], notices: 0 },
    async reach(router, queueId, again) {
      await failed(router);
      await isHeld(router);
      const next = await again();
      await change(next, 'release', queueId);
      await (await next.delivery.next()).end('delivered', OK);
    },
  },
};

const searchesOf = (sender: string, messageId: string): MessageSearch[] => [
  { from: sender },
  { to: BOB },
  { messageId },
  { about: messageId },
  ...(sender === '' ? [] : [{ about: 'sender.example' }]),
];

const OF_MAIL = new Set(['message', 'recipient', 'body', 'transfer', 'receipt', 'corrupt']);

/** What is left of mail, by the kinds of its records; the index is made of more than one message at a time. */
async function leftIn(folder: string): Promise<Record<string, number>> {
  const store = await Store.open(join(folder, 'queue'), silentLogger);
  const counts: Record<string, number> = {};
  for await (const key of store.keys({})) {
    const [kind = ''] = key.split('!');
    if (OF_MAIL.has(kind)) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  await store.close();
  return counts;
}

for (const [what, { sender, ends, notices, reach }] of Object.entries(ENDS))
  test(`one receipt: ${what}`, async () => {
    await using folder = await tempDir();
    await using stack = new AsyncDisposableStack();
    const start = async (times = {}): Promise<TestRouter> =>
      stack.use(await TestRouter.start(folder.path, { config: { dsn: { 'null-reverse-path': 'hold' } }, times }));
    let router = await start();
    const again = async (times = {}): Promise<TestRouter> => {
      await router.stop();
      router = await start(times);
      return router;
    };
    const messageId = '<1@sender.example>';
    const own = sender === '' ? NOBODY : { reversePath: sender };
    const queueId = await router.send({ envelope: envelope([BOB], own), facts: { messageId } });
    await reach(router, queueId, again);
    await waitFor(async () => (await router.show(queueId)).finished, { what: 'its end' });

    await again();
    const { finished, entry } = await router.show(queueId);
    const said = entry.recipients.map(
      ({ status }) => `${status.state} ${'outcome' in status ? status.outcome.reply.code : ''}`,
    );
    assert.deepEqual([finished, said], [true, ends]);
    const find = async (search: MessageSearch): Promise<string[]> => {
      const { messages } = await router.service.handlers['message-find']({ ...search, limit: 10 }, router.context());
      return messages.map((one) => `${one.queueId} ${one.state}`);
    };
    for (const search of searchesOf(sender, messageId)) {
      const found = (await find(search)).filter((one) => one.startsWith(queueId));
      assert.deepEqual(found, [`${queueId} finished`], JSON.stringify(search));
    }
    await router.stop();
    assert.deepEqual(await leftIn(folder.path), { receipt: 1 + notices });

    router = await start({ keep: NONE });
    await waitFor(async () => (await find({ to: BOB })).length === 0, { what: 'the receipt to be purged' });
    await router.stop();
    assert.deepEqual(await leftIn(folder.path), {});
  });

test('an expired dead letter is held, and its receipt says what the operator decided', async () => {
  await using folder = await tempDir();
  const options = { config: { dsn: { 'null-reverse-path': 'hold' } }, times: { expire: 1, keep: DAY_MS } };
  await using router = await TestRouter.start(folder.path, options);
  const queueId = await router.send({ envelope: envelope([BOB], NOBODY) });
  const attempt = await router.delivery.next();
  const began = Date.now();
  await waitFor(() => Date.now() > began + 1, { what: 'its time to be over' });
  await attempt.end('deferred', LATER);
  await isHeld(router);
  await change(router, 'remove', queueId);
  const { entry, finished } = await router.show(queueId);
  const [one] = entry.recipients;
  assert.deepEqual([finished, one?.status.state, one?.earlier?.attempts.length], [true, 'failed', 1]);
});
