import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  envelope,
  type GivenJob,
  LATER,
  messageOf,
  NO_USER,
  OK,
  type StartOptions,
  TestRouter,
} from '#test/unit/router/fixture.ts';

const ARCHIVE = 'archive@vault.example';
const BOB = 'bob@peer.example';
const journal = (when: object = {}, more: object = {}, name = 'archive') => ({
  ...{ name, when },
  journal: { to: ARCHIVE, ...more },
});

async function withJournal(
  rules: object[],
  work: (router: TestRouter) => Promise<void>,
  { config, ...options }: StartOptions = {},
): Promise<void> {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { ...options, config: { ...config, rules } });
  await work(router);
}

/** The jobs of a message by the recipients of each. */
async function jobs(router: TestRouter, count: number): Promise<Record<string, GivenJob>> {
  const all: Record<string, GivenJob> = {};
  for (let n = 0; n < count; n++) {
    const given = await router.delivery.next(`job ${n + 1}`);
    all[given.to.join(' ')] = given;
  }
  assert.deepEqual(router.delivery.jobs, []);
  return all;
}

const empty = (router: TestRouter) =>
  waitFor(
    async () =>
      Object.values(await router.status())
        .slice(1, 4)
        .every((count) => count === 0),
    {
      what: 'an empty queue',
    },
  );

test('the archive gets one copy, in a transaction of its own, whatever rules and recipients call for it', () =>
  withJournal(
    [
      journal({ from: ['sender.example'] }),
      journal({ to: ['peer.example'] }, { to: 'Archive@Vault.example' }, '2nd'),
      { name: 'moved', when: { to: ['old.example'] }, redirect: ARCHIVE },
    ],
    async (router) => {
      const to: EnvelopeRecipient[] = [
        { address: BOB, notify: ['SUCCESS', 'FAILURE'] },
        { address: 'carl@peer.example', original: 'all@peer.example' },
        { address: 'x@old.example' },
      ];
      const message = messageOf(3000);
      const queueId = await router.send({ envelope: envelope(to), message, junk: true });
      const all = await jobs(router, 2);
      const copy = all[ARCHIVE]?.job;
      assert.deepEqual(
        [copy?.reversePath, copy?.junk, copy?.recipients.map(({ recipient }) => recipient.notify)],
        ['', false, [['NEVER']]],
      );
      assert.equal(await all[ARCHIVE]?.content(), `Received: from client.example\r\n${message.toString()}`);
      const mail = all[`${BOB} carl@peer.example`];
      assert.equal(mail?.job.reversePath, 'alice@sender.example');
      await mail?.end('delivered', OK);
      await all[ARCHIVE]?.end('delivered', OK);
      const { entry, finished } = await router.show(queueId);
      assert.deepEqual([finished, entry.recipients.at(-1)?.recipient.journal?.rule], [true, 'archive']);
      await empty(router);
    },
  ));

test('each archive gets a copy', () =>
  withJournal(
    [journal(), journal({}, { to: 'other@vault.example', failures: 'it@ours.example' }, '2nd')],
    async (router) => {
      await router.send({ envelope: envelope([BOB]) });
      const all = await jobs(router, 3);
      assert.equal(all['other@vault.example']?.job.reversePath, 'it@ours.example');
      assert.equal(all[ARCHIVE]?.job.reversePath, '');
    },
  ));

test('a copy that comes back, and our own notices, are not journaled; an archive that is named beside others gets its copy', () =>
  withJournal([journal(), journal({}, { to: 'other@vault.example' }, '2nd')], async (router) => {
    await router.send({ envelope: envelope([ARCHIVE, 'OTHER@vault.example'], { reversePath: '' }) });
    await (await jobs(router, 1))[`${ARCHIVE} OTHER@vault.example`]?.end('delivered', OK);

    const named = await router.send({ envelope: envelope([{ address: ARCHIVE, notify: ['SUCCESS'] }, BOB]) });
    const all = await jobs(router, 2);
    const { recipients } = (await router.show(named)).entry;
    assert.deepEqual(
      recipients.map(({ recipient }) => [recipient.address, recipient.journal?.rule, recipient.original]),
      [
        [BOB, undefined, undefined],
        [ARCHIVE, 'archive', ARCHIVE],
        ['other@vault.example', '2nd', undefined],
      ],
    );
    await all[`${ARCHIVE} other@vault.example`]?.end('delivered', OK);
    await all[BOB]?.end('failed', NO_USER);
    const notice = await jobs(router, 1);
    await notice['alice@sender.example']?.end('delivered', OK);
    await empty(router);
  }));

test('an archive that refuses its copy has the message held with an error, and the sender hears nothing of it', async () => {
  const { log, lines } = logLines();
  const config = { dsn: { postmaster: 'pm@ours.example', copies: 'failures', 'null-reverse-path': 'postmaster' } };
  await withJournal(
    [journal()],
    async (router) => {
      for (const reversePath of ['alice@sender.example', '']) {
        const queueId = await router.send({ envelope: envelope([BOB], { reversePath }), originating: true });
        const all = await jobs(router, 2);
        await all[ARCHIVE]?.end('failed', NO_USER);
        assert.equal((await router.show(queueId)).entry.state, 'active');
        await all[BOB]?.end('delivered', OK, { notice: 'final' });
        const { entry } = await router.show(queueId);
        assert.deepEqual([entry.state, entry.hold?.by, entry.hold?.rule], ['hold', 'journal', 'archive']);
        assert.deepEqual(router.delivery.jobs, []);
        const errors = lines().filter((line) => line['queueId'] === queueId && line['level'] === 'error');
        assert.deepEqual(
          errors.map((line) => line['rule']),
          ['archive'],
        );

        await router.service.handlers['message-release']({ queueId }, router.context());
        const again = await router.delivery.next('the copy after the release');
        assert.deepEqual(again.to, [ARCHIVE]);
        await again.end('delivered', OK);
        assert.equal((await router.show(queueId)).finished, true);
      }
      await empty(router);
    },
    { config, log },
  );
});

test('a copy is tried after queue.expire, and is held after journal.expire', () =>
  withJournal(
    [journal({}, { expire: '2s' })],
    async (router) => {
      const queueId = await router.send({ envelope: envelope([BOB]) });
      const began = Date.now();
      const all = await jobs(router, 2);
      await all[BOB]?.end('delivered', OK);
      await all[ARCHIVE]?.end('deferred', LATER);
      let tries = 1;
      router.delivery.automatic = async (given) => {
        tries++;
        assert.deepEqual(given.to, [ARCHIVE]);
        await given.end('deferred', LATER);
      };
      await waitFor(async () => (await router.show(queueId)).entry.state === 'hold', { what: 'the copy to be held' });
      assert.ok(Date.now() - began >= 1900, 'held too soon');
      assert.ok(tries >= 3, `${tries} attempts`);
      assert.equal((await router.show(queueId)).entry.hold?.by, 'journal');
    },
    { times: { first: 100, max: 300, expire: 200 } },
  ));

test('removed mail goes to the archive, and to nobody else; a copy that is left alone can be removed', () =>
  withJournal([journal(), { name: 'stop', when: { to: [BOB] }, hold: true }], async (router) => {
    const queueId = await router.send({ envelope: envelope([BOB, 'carl@peer.example']) });
    assert.equal((await router.show(queueId)).entry.state, 'hold');
    const { handlers } = router.service;
    await handlers['message-remove']({ queueId, notify: false }, router.context());
    const [copy] = Object.values(await jobs(router, 1));
    assert.deepEqual(copy?.to, [ARCHIVE]);
    const { entry } = await router.show(queueId);
    assert.deepEqual(
      entry.recipients.map(({ status }) => status.state),
      ['failed', 'failed', 'waiting'],
    );
    await copy?.end('deferred', LATER);
    await handlers['message-remove']({ queueId, notify: true }, router.context());
    assert.equal((await router.show(queueId)).finished, true);
    await empty(router);
    assert.deepEqual(router.delivery.jobs, []);
  }));

test('what is removed during an attempt stays removed, whatever comes of the attempt', () =>
  withJournal([journal()], async (router) => {
    const queueId = await router.send({ envelope: envelope([BOB]) });
    const all = await jobs(router, 2);
    await router.service.handlers['message-remove']({ queueId, notify: false }, router.context());
    await all[BOB]?.end('deferred', LATER);
    await all[ARCHIVE]?.end('delivered', OK);
    const { entry, finished } = await router.show(queueId);
    assert.deepEqual([finished, entry.recipients.map(({ status }) => status.state)], [true, ['failed', 'delivered']]);
  }));

test('a restart finds the archive once, and an aborted transfer leaves nothing of it', async () => {
  await using folder = await tempDir();
  const config = { rules: [journal()] };
  const first = await TestRouter.start(folder.path, { config });
  const queueId = await first.send({ envelope: envelope([BOB]) });
  await jobs(first, 2);
  await first.stop();
  await using router = await TestRouter.start(folder.path, { config });
  const all = await jobs(router, 2);
  assert.deepEqual(Object.keys(all).sort(), [ARCHIVE, BOB]);
  assert.equal((await router.show(queueId)).entry.recipients.length, 2);
});
