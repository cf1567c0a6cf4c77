import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, TestRouter } from '#test/unit/router/fixture.ts';

/** When mail is tried again that a host defers. */

for (const [said, local, least, most] of [
  ['Greylisted for 900 seconds', false, 900, 1000],
  ['Greylisted for 60 seconds', false, 60, 70],
  ['try again later', false, 300, 330],
  // Words of ours are no wish of a host.
  ['Greylisted for 900 seconds', true, 0, 2],
] as const) {
  test(`after "${said}" ${local ? 'of this node ' : ''}the next attempt comes in ${least} to ${most} s`, async () => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
    const given = await router.delivery.next();
    const before = Date.now();
    await given.end('deferred', reply(450, '4.2.0', said), { local });
    const { entry } = await router.show(queueId);
    const status = entry.recipients[0]?.status;
    assert.ok(status?.state === 'deferred');
    assert.ok(status.nextAttempt >= before + least * 1000, `${status.nextAttempt - before} ms`);
    assert.ok(status.nextAttempt <= Date.now() + most * 1000, `${status.nextAttempt - before} ms`);
  });
}
