import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** What operators see of mail that does not go where its route says: in the queue, and afterwards. */

const BY = { by: 'root on edge-1' };
const OTHER = 'smtp://other.example:25';
const redirect = { kind: 'redirect', about: 'domain', name: 'peer.example', ...BY } as const;

/** Why each recipient goes, or went, elsewhere. */
const waysOf = ({ via, recipients }: QueueEntry): (string | undefined)[][] =>
  recipients.map(({ recipient, redirected }) => [
    recipient.address,
    redirected?.via,
    recipient.redirectedBy,
    recipient.routeOf,
    via,
  ]);

test('a directive is told of mail that waits, and of mail that left by it, when it is over too', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, {
    config: { routes: [{ to: 'stays.example', via: OTHER }] },
  });
  await router.service.handlers['directive-set']({ ...redirect, via: OTHER, forMs: 3_600_000 }, router.context());
  const queueId = await router.send({ envelope: envelope(['bob@peer.example', 'ann@stays.example']) });
  for (const _ of [1, 2]) {
    const { hop, job } = await router.delivery.next();
    assert.equal(hop.key, OTHER);
    assert.equal(job.recipients.length, 1, 'of those alone that were redirected, or that were not');
    const reply = job.recipients[0]?.recipient.address === 'ann@stays.example' ? OK : LATER;
    const outcome = { at: Date.now(), reply };
    const state = reply === OK ? 'delivered' : 'deferred';
    await job.finish(job.recipients.map(({ index }) => ({ index, state, outcome })));
  }
  const expected = [
    ['bob@peer.example', OTHER, undefined, undefined, undefined],
    ['ann@stays.example', undefined, undefined, undefined, undefined],
  ];
  assert.deepEqual(waysOf((await router.show(queueId)).entry), expected);
  await router.service.handlers['message-retry']({ queueId }, router.context());
  await (await router.delivery.next('the other attempt')).end('delivered', OK);
  await router.service.handlers['directive-end'](redirect, router.context());
  const { finished, entry } = await router.show(queueId);
  assert.equal(finished, true);
  assert.deepEqual(waysOf(entry), expected);
});

test('mail that an operator reroutes is not told to be redirected with its domain, and its receipt says so', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  await (await router.delivery.next()).end('deferred', LATER);
  await router.service.handlers['directive-set']({ ...redirect, via: OTHER, forMs: 3_600_000 }, router.context());
  const via = 'smtp://third.example';
  await router.service.handlers['queue-change'](
    { operation: 'reroute', filter: { ids: [queueId] }, via, ...BY, dryRun: false },
    router.context(),
  );
  const sent = await router.delivery.next('the rerouted mail');
  assert.equal(sent.hop.key, via);
  const expected = [['bob@peer.example', undefined, undefined, undefined, via]];
  assert.deepEqual(waysOf((await router.show(queueId)).entry), expected);
  await sent.end('delivered', OK);
  await waitFor(async () => (await router.show(queueId)).finished, { what: 'its receipt' });
  assert.deepEqual(waysOf((await router.show(queueId)).entry), expected);
});

test('the rule that redirected mail is told', async () => {
  await using folder = await tempDir();
  const rules = [
    { name: 'moved', when: { to: ['bob@peer.example'] }, redirect: 'robert@new.example' },
    { name: 'by-partner', when: { to: ['carl@peer.example'] }, redirect: 'partner.example' },
  ];
  await using router = await TestRouter.start(folder.path, { config: { rules } });
  const queueId = await router.send({
    envelope: envelope(['bob@peer.example', 'carl@peer.example', 'd@peer.example']),
  });
  assert.deepEqual(waysOf((await router.show(queueId)).entry), [
    ['robert@new.example', undefined, 'moved', undefined, undefined],
    ['carl@peer.example', undefined, 'by-partner', 'partner.example', undefined],
    ['d@peer.example', undefined, undefined, undefined, undefined],
  ]);
});
