import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, messageOf, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

const POSTMASTER = 'postmaster@ours.example';
const NOBODY = { reversePath: '' };

/** A router whose queue has these options of `dsn`. */
function withDsn(path: string, dsn: Record<string, unknown>): Promise<TestRouter> {
  return TestRouter.start(path, { config: { dsn: { postmaster: POSTMASTER, ...dsn } } });
}

test('the postmaster gets a copy of a notice of failure, with the header alone, and none of the copy', async () => {
  await using folder = await tempDir();
  await using router = await withDsn(folder.path, { copies: 'failures', languages: { 'ours.example': 'de' } });
  const message = messageOf(2000);
  await router.send({ envelope: envelope(['bob@peer.example'], { ret: 'FULL' }), message, originating: true });
  await (await router.delivery.next()).end('failed', NO_USER);
  const both = [await router.delivery.next('the notice'), await router.delivery.next('its copy')];
  const toSender = both.find(({ to: [reader] }) => reader === 'alice@sender.example');
  const copy = both.find(({ to: [reader] }) => reader === POSTMASTER);
  assert.ok(toSender !== undefined && copy !== undefined);
  assert.match(await toSender.content(), /xxxx/);
  const text = await copy.content();
  assert.doesNotMatch(text, /xxxx/);
  assert.match(text, /^X-Loop: postmaster@ours\.example\r$/m);
  assert.match(text, /^Subject: =\?utf-8\?|^Subject: Postmaster: Unzustellbare Nachricht\r$/m);
  assert.match(text, /Eine Nachricht von <alice@sender\.example> konnte/);
  assert.match(text, /^Final-Recipient: rfc822; bob@peer\.example\r\nAction: failed\r\nStatus: 5\.1\.1\r$/m);
  assert.doesNotMatch(text, /Was Sie tun/);
  await toSender.end('failed', NO_USER);
  await copy.end('failed', NO_USER);
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue' });
  assert.deepEqual(router.delivery.jobs, []);
});

test('RouterDSNForNULLReversePath 1: the postmaster gets a notice of mail that nobody sent, and none of the notice', async () => {
  await using folder = await tempDir();
  await using router = await withDsn(folder.path, { 'null-reverse-path': 'postmaster' });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example'], NOBODY) });
  await (await router.delivery.next()).end('failed', NO_USER);
  assert.equal((await router.show(queueId)).finished, true);
  const notice = await router.delivery.next('the notice');
  assert.deepEqual([notice.job.reversePath, notice.to], ['', [POSTMASTER]]);
  const text = await notice.content();
  assert.match(text, /^Subject: Postmaster: Undelivered Mail\r$/m);
  assert.match(text, /the\r\nnull reverse-path, so it cannot be returned/);
  assert.match(text, /mx\.peer\.example\[192\.0\.2\.1\]:25 said: 550 5\.1\.1 No such user/);
  await notice.end('failed', NO_USER);
  // The mailbox may be forwarded through this router: the notice comes back as mail of others.
  const back = await router.send({
    envelope: envelope(['boss@peer.example'], NOBODY),
    message: Buffer.from(text, 'latin1'),
  });
  await (await router.delivery.next()).end('failed', NO_USER);
  assert.equal((await router.show(back)).finished, true);
  assert.deepEqual(router.delivery.jobs, []);
});

test('RouterDSNForNULLReversePath 0: mail that nobody sent is held, over a restart, until an operator decides', async () => {
  await using folder = await tempDir();
  const first = await withDsn(folder.path, { 'null-reverse-path': 'hold' });
  const queueId = await first.send({ envelope: envelope(['bob@peer.example'], NOBODY) });
  await (await first.delivery.next()).end('failed', NO_USER);
  const held = await first.show(queueId);
  const status = held.entry.recipients[0]?.status;
  assert.deepEqual([held.finished, held.entry.state, status?.state], [false, 'hold', 'deferred']);
  assert.deepEqual(status?.state === 'deferred' && status.outcome.reply, NO_USER);
  await first.stop();

  await using router = await withDsn(folder.path, { 'null-reverse-path': 'hold' });
  assert.equal((await router.status()).hold, 1);
  await router.service.handlers['message-release']({ queueId }, router.context());
  await (await router.delivery.next('the released mail')).end('failed', NO_USER);
  await waitFor(async () => (await router.show(queueId)).entry.state === 'hold', { what: 'it to be held again' });
  await router.service.handlers['message-release']({ queueId }, router.context());
  await (await router.delivery.next('the released mail')).end('delivered', OK);
  assert.equal((await router.show(queueId)).finished, true);
  assert.deepEqual(router.delivery.jobs, []);
});

test('a dead letter waits for its other recipients, and is not tried with them', async () => {
  await using folder = await tempDir();
  const options = { config: { dsn: { 'null-reverse-path': 'hold' } }, times: { first: 10, max: 60_000 } };
  await using router = await TestRouter.start(folder.path, options);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example', 'eve@peer.example'], NOBODY) });
  const given = await router.delivery.next();
  await given.job.finish([
    await given.endOne('bob@peer.example', 'failed', NO_USER),
    await given.endOne('eve@peer.example', 'deferred', LATER),
  ]);
  const again = await router.delivery.next('the next attempt');
  assert.deepEqual(again.to, ['eve@peer.example']);
  assert.notEqual((await router.show(queueId)).entry.state, 'hold');
  await again.end('delivered', OK);
  const { entry } = await router.show(queueId);
  assert.deepEqual(
    [entry.state, entry.recipients.map(({ status }) => status.state)],
    ['hold', ['deferred', 'delivered']],
  );
});

test('mail that nobody sent and that expires is held as well; a notice of ours is not', async () => {
  await using folder = await tempDir();
  const options = { config: { dsn: { 'null-reverse-path': 'hold' } }, times: { expire: 1 } };
  await using router = await TestRouter.start(folder.path, options);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example'], NOBODY) });
  const given = await router.delivery.next();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await given.end('deferred', LATER);
  assert.equal((await router.show(queueId)).entry.state, 'hold');
  await router.send({ envelope: envelope(['bob@peer.example']) });
  await (await router.delivery.next()).end('failed', NO_USER);
  const notice = await router.delivery.next('the notice');
  await notice.end('failed', NO_USER);
  const { finished } = await router.show(notice.job.queueId);
  assert.equal(finished, true);
});
