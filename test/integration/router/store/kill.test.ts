import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';
import { runAndKill } from './run-and-kill.ts';

const ROUNDS = 6;

type Seen = { accepted: Set<string>; sent: Set<string>; finished: Set<string> };

/** Run the router over the folder for some time, then kill it without warning. */
async function killedRun(folder: string, ms: number, seen: Seen): Promise<void> {
  const resent: string[] = [];
  const finishedBefore = new Set(seen.finished);
  await runAndKill([folder], ms, (event, id) => {
    if (event === 'sent' && finishedBefore.has(id)) resent.push(id);
    if (event === 'accepted' || event === 'sent' || event === 'finished') seen[event].add(id);
  });
  assert.deepEqual(resent, [], 'sent again although its delivery was on disk');
}

test('a router killed again and again loses nothing it answered and forgets no delivery it recorded', async () => {
  await using folder = await tempDir();
  const seen: Seen = { accepted: new Set(), sent: new Set(), finished: new Set() };
  let rounds = 0;
  // A busy machine needs more of them for as much mail.
  for (; rounds < ROUNDS || seen.accepted.size <= 200; rounds++) {
    await killedRun(folder.path, 100 + Math.random() * 700, seen);
  }

  await using router = await TestRouter.start(folder.path);
  const found = new Set<string>();
  const deliver: NonNullable<TestRouter['delivery']['automatic']> = async (given) => {
    const opened = await given.job.open();
    assert.ok(opened.ok);
    assert.equal((await readAll(opened)).length, opened.size);
    found.add(given.job.queueId);
    await given.end('delivered', OK);
  };
  router.delivery.automatic = deliver;
  for (const given of router.delivery.jobs.splice(0)) void deliver(given);
  await waitFor(async () => (await router.status()).active === 0, { what: 'an empty queue', timeout: 30_000 });
  assert.equal((await router.status()).corrupt, 0);
  for (const id of seen.accepted) assert.ok(found.has(id) || seen.sent.has(id), `${id} was answered and is not there`);
  for (const id of seen.finished) assert.ok(!found.has(id), `${id} was delivered, recorded, and delivered again`);
  // What was sent and not recorded may come twice; it is at most what was under way when the process died.
  const twice = [...found].filter((id) => seen.sent.has(id));
  assert.ok(twice.length <= rounds * 30, `${twice.length} messages were sent twice`);
});
