import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, type GivenJob, LATER, messageOf, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** A notice as it is delivered: its recipient and its text. */
async function deliverNotice(given: GivenJob): Promise<string> {
  assert.equal(given.job.reversePath, '');
  assert.deepEqual(given.to, ['alice@sender.example']);
  const text = await given.content();
  await given.end('delivered', OK);
  return text;
}

test('RouterDSNForNULLReversePath 2: mail with the null reverse-path that fails causes no notice', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example'], { reversePath: '' }) });
  await (await router.delivery.next()).end('failed', NO_USER);
  assert.equal((await router.show(queueId)).finished, true);
  assert.deepEqual(router.delivery.jobs, []);
});

test('recipients that fail in one attempt share a notice; the notice is signed for and asks for no other', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const to = ['a@peer.example', 'b@peer.example', { address: 'c@peer.example', notify: ['NEVER' as const] }];
  await router.send({ envelope: envelope(to), trace: 'TRACE7' });
  await (await router.delivery.next()).end('failed', NO_USER);
  const given = await router.delivery.next('the notice');
  assert.equal(given.job.trace, 'TRACE7');
  assert.deepEqual(given.job.recipients[0]?.recipient.notify, ['NEVER']);
  const text = await deliverNotice(given);
  assert.deepEqual(text.match(/^Final-Recipient: .*(?=\r$)/gm), [
    'Final-Recipient: rfc822; a@peer.example',
    'Final-Recipient: rfc822; b@peer.example',
  ]);
  const [call] = router.signer.calls;
  assert.equal(call?.header, text.slice(0, text.indexOf('\r\n\r\n') + 4));
  const hash = new RelaxedBodyHash();
  hash.update(Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1'));
  assert.equal(call?.bodyHash, hash.digest());
  assert.deepEqual(router.delivery.jobs, []);
});

test('a notice that was committed is there after a restart', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['bob@peer.example']) });
  await (await first.delivery.next()).end('failed', NO_USER);
  await first.stop();
  await using second = await TestRouter.start(folder.path);
  assert.match(await deliverNotice(await second.delivery.next()), /No such user/);
  assert.equal((await second.show(queueId)).finished, true);
});

for (const [size, ret, whole] of [
  [40_000, 'FULL', true],
  [60_000, 'FULL', false],
  [40_000, 'HDRS', false],
  [40_000, undefined, false],
] as const) {
  test(`a message of ${size} bytes with RET=${ret} comes back ${whole ? 'whole' : 'as its header'}`, async () => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    const message = messageOf(size);
    await router.send({ envelope: envelope(['bob@peer.example'], { ret }), message, originating: true });
    await (await router.delivery.next()).end('failed', NO_USER);
    const text = await deliverNotice(await router.delivery.next());
    assert.equal(text.includes(message.toString('latin1')), whole);
    assert.ok(text.includes('Subject: Hello'));
  });
}

test('mail that is late is told of once, also after a restart, and tried on', async () => {
  await using folder = await tempDir();
  const options = { times: { first: 10, max: 10, delayNotice: 1 } };
  const first = await TestRouter.start(folder.path, options);
  const queueId = await first.send({ envelope: envelope(['bob@peer.example']) });
  const given = await first.delivery.next();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await given.end('deferred', LATER);
  const notice = first.delivery.jobs.find((j) => j.to[0] === 'alice@sender.example');
  assert.ok(notice !== undefined);
  assert.match(await deliverNotice(notice), /^Action: delayed\r$/m);
  await first.stop();
  await using second = await TestRouter.start(folder.path, options);
  const again = await second.delivery.next();
  assert.equal(again.job.queueId, queueId);
  await again.end('deferred', LATER);
  const third = await second.delivery.next();
  assert.equal(third.job.queueId, queueId, 'no second notice');
  await third.end('delivered', OK);
});

test('mail that is too old has expired: the sender hears of it, and a receipt says so', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { first: 10, max: 10, expire: 30 } });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  for (;;) {
    const given = await router.delivery.next();
    if (given.job.queueId !== queueId) {
      assert.match(await deliverNotice(given), /^Status: 4\.4\.7\r$/m);
      break;
    }
    await given.end('deferred', LATER);
  }
  const { entry, finished } = await router.show(queueId);
  assert.deepEqual([finished, entry.recipients[0]?.status.state], [true, 'expired']);
});

test('trouble of our own expires all the same', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times: { expire: 1 } });
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  const given = await router.delivery.next();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await given.end('deferred', LATER, { local: true });
  assert.equal((await router.show(queueId)).entry.recipients[0]?.status.state, 'expired');
});

test('a delivery is reported as the sender asked and the next hop could not', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  await router.send({
    envelope: envelope([{ address: 'bob@peer.example', notify: ['SUCCESS'] }]),
    originating: true,
  });
  await (await router.delivery.next()).end('delivered', OK, { notice: 'relayed' });
  assert.match(await deliverNotice(await router.delivery.next()), /^Action: relayed\r$/m);
});

test('a stranger cannot have success reports, or a message of his, sent to a forged sender', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const message = messageOf(2000);
  const to = [
    { address: 'a@peer.example', notify: ['SUCCESS' as const, 'FAILURE' as const] },
    { address: 'b@peer.example', notify: ['SUCCESS' as const] },
  ];
  await router.send({ envelope: envelope(to, { ret: 'FULL' }), message });
  const given = await router.delivery.next();
  assert.equal(given.job.ret, 'HDRS', 'nor does the next hop hear of it');
  assert.deepEqual(
    given.job.recipients.map((r) => r.recipient.notify),
    [['FAILURE'], ['NEVER']],
  );
  await given.job.finish([
    await given.endOne('a@peer.example', 'failed', NO_USER),
    { ...(await given.endOne('b@peer.example', 'delivered', OK)), notice: 'relayed' },
  ]);
  const text = await deliverNotice(await router.delivery.next());
  assert.match(text, /^Action: failed\r$/m);
  assert.ok(!text.includes('xxxx'), 'the body is not quoted');
  assert.deepEqual(router.delivery.jobs, []);
});

/** What an alias and a mailing list with an owner become, where their sender asked for reports of success. */
const MEMBERS = [
  { address: 'a@peer.example', original: 'team@ours.example', notify: ['SUCCESS' as const], list: 'expanded' as const },
  { address: 'b@peer.example', original: 'team@ours.example', notify: ['SUCCESS' as const], list: 'expanded' as const },
  {
    address: 'c@peer.example',
    original: 'list@ours.example',
    reportTo: 'owner@ours.example',
    list: 'delivered' as const,
  },
];

test('a sender who asks for success hears once of a list, over a restart, and not of each recipient', async () => {
  await using folder = await tempDir();
  const options = { times: { first: 10, max: 10 } };
  const first = await TestRouter.start(folder.path, options);
  const queueId = await first.send({ envelope: envelope(MEMBERS), originating: true });
  const given = await first.delivery.next();
  assert.deepEqual(
    given.job.recipients.map(({ recipient }) => recipient.notify),
    [['NEVER'], ['NEVER'], undefined],
  );
  await given.job.finish([
    { ...(await given.endOne('a@peer.example', 'delivered', OK)), notice: 'relayed' },
    await given.endOne('b@peer.example', 'deferred', LATER),
    await given.endOne('c@peer.example', 'deferred', LATER),
  ]);
  const notice = first.delivery.jobs.find((job) => job.to[0] === 'alice@sender.example');
  assert.ok(notice !== undefined);
  const text = await deliverNotice(notice);
  assert.deepEqual(text.match(/^(?:Final-Recipient|Action|Status): .*(?=\r$)/gm), [
    'Final-Recipient: rfc822; team@ours.example',
    'Action: expanded',
    'Status: 2.1.5',
    'Final-Recipient: rfc822; list@ours.example',
    'Action: delivered',
    'Status: 2.1.5',
  ]);
  assert.doesNotMatch(text, /@peer\.example/, 'no member is named');
  await first.stop();
  await using second = await TestRouter.start(folder.path, options);
  const again = await second.delivery.next();
  assert.equal(again.job.queueId, queueId);
  await again.end('delivered', OK, { notice: 'relayed' });
  assert.equal((await second.show(queueId)).finished, true);
  assert.deepEqual(second.delivery.jobs, []);
});

test('a stranger is not told of lists either', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  await router.send({ envelope: envelope(MEMBERS) });
  await (await router.delivery.next()).end('delivered', OK, { notice: 'relayed' });
  assert.deepEqual(router.delivery.jobs, []);
});
