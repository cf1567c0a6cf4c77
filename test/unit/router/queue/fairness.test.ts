import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, OK, ORIGIN, TestRouter } from '#test/unit/router/fixture.ts';

/** Senders with much mail beside senders with little, where mail waits for room in memory. */

const LIMIT = 100;
const CONFIG = { queue: { 'active-limit': LIMIT } };

type Given = { from: string; to: string };

/** End jobs, the first one first, until one of a sender comes; how many others there were. */
async function endUntil(router: TestRouter, from: string): Promise<number> {
  for (let others = 0; ; others++) {
    const job = await router.delivery.next(`mail of ${from}`);
    await job.end('delivered', OK);
    if (job.job.reversePath === from) return others;
  }
}

async function send(router: TestRouter, count: number, { from, to }: Given): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, () => router.send({ envelope: envelope([to], { reversePath: from }) })),
  );
}

test('one message passes a thousand of another sender that wait for room, after a start too', async () => {
  await using folder = await tempDir();
  await using first = await TestRouter.start(folder.path, { config: CONFIG });
  await send(first, 1000, { from: 'bulk@a.example', to: 'x@peer.example' });
  await send(first, 1, { from: 'one@b.example', to: 'x@peer.example' });
  // What delivery has already is in its own hands: it takes turns too (fair-queue.ts).
  assert.ok(first.delivery.jobs.length < LIMIT, 'the rest is on disk alone');
  assert.ok((await endUntil(first, 'one@b.example')) <= LIMIT, 'it comes after what was in memory');
  await send(first, 1, { from: 'one@b.example', to: 'x@peer.example' });
  await first.stop();

  await using second = await TestRouter.start(folder.path, { config: CONFIG });
  assert.ok((await endUntil(second, 'one@b.example')) <= LIMIT);
});

test('a notice passes mail in bulk, and so does a user with one message', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: CONFIG });
  await send(router, 1, { from: 'carol@sender.example', to: 'nobody@other.example' });
  const returned = await router.delivery.next();
  await send(router, 1000, { from: 'bulk@a.example', to: 'x@sender.example' });
  await returned.end('failed', { code: 550, enhanced: '5.1.1', text: 'no' });
  const origin = { ...ORIGIN, kind: 'submission' as const, user: 'dave' };
  await router.send({ envelope: envelope(['x@sender.example'], { reversePath: 'bulk@a.example' }), origin });
  const seen: string[] = [];
  await waitFor(
    async () => {
      for (const job of router.delivery.jobs.splice(0)) {
        seen.push(job.job.reversePath === '' ? 'notice' : job.job.queueId);
        await job.end('delivered', OK);
      }
      return seen.includes('notice');
    },
    { what: 'the notice' },
  );
  assert.ok(seen.indexOf('notice') <= 2 * LIMIT, `${seen.indexOf('notice')} messages were first`);
});
