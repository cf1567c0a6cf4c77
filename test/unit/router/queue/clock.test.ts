import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mockClocks } from '#test/kit/clocks.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, LATER, OK, TestRouter } from '#test/unit/router/fixture.ts';

const HOUR_MS = 3_600_000;
const times = { first: 50, max: 200 };

test('a wall clock that steps back stops neither deferred mail nor new mail', async (t) => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times });
  const clocks = mockClocks(t, { frozen: false });
  const to = ['a@one.example', 'b@two.example'];
  const queueId = await router.send({ envelope: envelope(to) });
  for (let n = 0; n < 2; n++) await (await router.delivery.next()).end('deferred', LATER);
  clocks.step(-HOUR_MS);
  for (let n = 0; n < 2; n++) {
    const again = await router.delivery.next('the deferred mail');
    assert.equal(again.job.queueId, queueId);
    await again.end('deferred', LATER);
  }
  const other = await router.send({ envelope: envelope(['c@three.example']) });
  const ids = new Set([queueId, other]);
  while (ids.size > 0) {
    const given = await router.delivery.next('all mail');
    ids.delete(given.job.queueId);
    await given.end('delivered', OK);
  }
});

test('mail of one message with two waits, over a step back: the later one comes within queue.retry.max too', async (t) => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { times });
  const clocks = mockClocks(t, { frozen: false });
  await router.send({ envelope: envelope(['a@one.example', 'b@two.example']) });
  const first = await router.delivery.next();
  const second = await router.delivery.next();
  await first.end('deferred', LATER);
  clocks.step(-HOUR_MS);
  // Settled while the time of the other one lies an hour ahead.
  await second.end('delivered', OK);
  await (await router.delivery.next('the one that was deferred before the step')).end('delivered', OK);
});

test('mail deferred before a restart with a clock that was ahead waits no longer than queue.retry.max', async (t) => {
  await using folder = await tempDir();
  const before = await TestRouter.start(folder.path, { times });
  const clocks = mockClocks(t, { frozen: false });
  clocks.step(48 * HOUR_MS);
  const queueId = await before.send({ envelope: envelope(['a@one.example']) });
  await (await before.delivery.next()).end('deferred', LATER);
  await before.stop();
  clocks.step(-48 * HOUR_MS);
  await using after = await TestRouter.start(folder.path, { times });
  const again = await after.delivery.next('the deferred mail');
  assert.equal(again.job.queueId, queueId);
  await again.end('delivered', OK);
});
