import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, OK, TestRouter } from '#test/unit/router/fixture.ts';

const PEER = 'bob@peer.example';

async function withRules(rules: object[], work: (router: TestRouter, folder: string) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  const routes = [{ to: 'quarantine.example', via: 'smtp://127.0.0.1:2600' }];
  await using router = await TestRouter.start(folder.path, { config: { rules, routes } });
  await work(router, folder.path);
}

const hold = (when: object, name = 'court-order') => ({ name, when, hold: true });
const redirect = (when: object, to: string, name = 'moved') => ({ name, when, redirect: to });

test('a rule holds mail, says so by its name, and not after the release', () =>
  withRules([hold({ to: ['other.example'] }, 'other'), hold({ to: [PEER] })], async (router) => {
    const queueId = await router.send({ envelope: envelope(['carl@peer.example', PEER]) });
    const free = await router.send({ envelope: envelope(['carl@peer.example']) });
    const job = await router.delivery.next('the mail that no rule is for');
    assert.equal(job.job.queueId, free);
    await job.end('delivered', OK);
    const { entry } = await router.show(queueId);
    assert.equal(entry.state, 'hold');
    assert.deepEqual([entry.hold?.by, entry.hold?.rule], ['rule', 'court-order']);
    assert.ok(Math.abs(Date.now() - (entry.hold?.at ?? 0)) < 60_000);

    await router.service.handlers['message-release']({ queueId }, router.context());
    const released = await router.delivery.next('the released mail');
    assert.deepEqual(released.to, ['carl@peer.example', PEER]);
    assert.equal((await router.show(queueId)).entry.hold, undefined);
    await released.end('delivered', OK);
    assert.deepEqual(router.delivery.jobs, []);
  }));

test('held mail is held after a restart, by the same rule, although the rule is gone', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path, { config: { rules: [hold({})] } });
  const queueId = await first.send({ envelope: envelope([PEER]) });
  await first.stop();
  await using router = await TestRouter.start(folder.path);
  const { entry } = await router.show(queueId);
  assert.deepEqual([entry.state, entry.hold?.rule], ['hold', 'court-order']);
});

test('an operator who holds mail is named in place of a rule', () =>
  withRules([hold({})], async (router) => {
    const queueId = await router.send({ envelope: envelope([PEER]) });
    await router.service.handlers['message-release']({ queueId }, router.context());
    await router.delivery.next();
    await router.service.handlers['message-hold']({ queueId }, router.context());
    const { hold: held } = (await router.show(queueId)).entry;
    assert.deepEqual([held?.by, held?.rule], ['operator', undefined]);
  }));

test('a recipient is redirected to another address, once, and the first rule counts', () =>
  withRules(
    [
      redirect({ to: ['old.example'] }, 'new@peer.example'),
      redirect({ to: ['old.example'] }, 'x@else.example', '2nd'),
      redirect({ to: ['new@peer.example'] }, 'y@else.example', '3rd'),
    ],
    async (router) => {
      const to = ['a@old.example', { address: 'b@old.example', orcpt: 'rfc822;b@old.example' }, PEER];
      const queueId = await router.send({ envelope: envelope(to) });
      const job = await router.delivery.next();
      assert.deepEqual(
        job.job.recipients.map(({ recipient }) => recipient),
        [{ address: 'new@peer.example', original: 'a@old.example', redirectedBy: 'moved' }, { address: PEER }],
      );
      await job.end('delivered', OK);
      const { entry, finished } = await router.show(queueId);
      assert.deepEqual([finished, entry.recipients.length], [true, 2]);
    },
  ));

test('mail that its new recipient has already is not sent twice', () =>
  withRules([redirect({ to: ['old.example'] }, 'BOB@peer.example')], async (router) => {
    await router.send({ envelope: envelope(['a@old.example', PEER]) });
    assert.deepEqual((await router.delivery.next()).to, [PEER]);
  }));

test('mail takes the route of another domain, also after a restart', async () => {
  await using folder = await tempDir();
  const config = {
    rules: [redirect({ from: ['sender.example'] }, 'quarantine.example')],
    routes: [{ to: 'quarantine.example', via: 'smtp://127.0.0.1:2600' }],
  };
  const first = await TestRouter.start(folder.path, { config });
  const queueId = await first.send({ envelope: envelope([PEER]) });
  const other = await first.send({ envelope: envelope([PEER], { reversePath: 'x@y.example' }) });
  const jobs = [await first.delivery.next(), await first.delivery.next()];
  const hops = Object.fromEntries(jobs.map(({ job, hop }) => [job.queueId, hop.key]));
  assert.deepEqual(hops, { [queueId]: 'smtp://127.0.0.1:2600', [other]: 'mx:peer.example' });
  assert.equal((await first.show(queueId)).entry.recipients[0]?.nextHop, 'smtp://127.0.0.1:2600');
  const ended = first.stop();
  for (const job of jobs) await job.end('deferred', OK, { local: true });
  await ended;
  await using router = await TestRouter.start(folder.path, { config });
  const again = [await router.delivery.next(), await router.delivery.next()];
  const sent = again.find(({ job }) => job.queueId === queueId);
  assert.deepEqual([sent?.hop.key, sent?.to], ['smtp://127.0.0.1:2600', [PEER]]);
});

test('without a rule nothing of the envelope changes', () =>
  withRules([], async (router) => {
    await router.send({ envelope: envelope([PEER]) });
    assert.deepEqual((await router.delivery.next()).job.recipients, [{ index: 0, recipient: { address: PEER } }]);
  }));
