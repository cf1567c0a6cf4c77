import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, type GivenJob, messageOf, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Which recipients of a message are sent to with SMTPUTF8: those that a host without it does not keep from their mail. */

const RECIPIENTS = ['bob@peer.example', 'jürgen@peer.example', 'carl@peer.example'];

/** The jobs that come of it: who gets it, and whether it needs SMTPUTF8. */
async function jobsOf(sent: { reversePath?: string; smtpUtf8?: boolean; eightBitHeader?: boolean }): Promise<string[]> {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const { reversePath = 'alice@sender.example', smtpUtf8 = true, eightBitHeader = false } = sent;
  const jobs: GivenJob[] = [];
  router.delivery.automatic = async (given) => {
    jobs.push(given);
    await given.end('delivered', OK);
  };
  const queueId = await router.send({
    envelope: { ...envelope(RECIPIENTS), reversePath, smtpUtf8 },
    message: messageOf(1000),
    facts: { eightBitHeader },
  });
  await waitFor(async () => (await router.show(queueId)).finished, { what: 'all of them' });
  return jobs.map(({ job, to }) => `${job.smtpUtf8}: ${to.join(' ')}`).toSorted();
}

test('recipients that need SMTPUTF8 go apart from those that do not', async () => {
  assert.deepEqual(await jobsOf({}), ['false: bob@peer.example carl@peer.example', 'true: jürgen@peer.example']);
});

for (const [what, sent] of [
  ['a reverse-path', { reversePath: 'älice@sender.example' }],
  ['a header', { eightBitHeader: true }],
] as const) {
  test(`${what} that needs SMTPUTF8 keeps all recipients together`, async () => {
    assert.deepEqual(await jobsOf(sent), [`true: ${RECIPIENTS.join(' ')}`]);
  });
}

test('a header in 8 bit of a client that did not declare SMTPUTF8 is sent as it is', async () => {
  assert.deepEqual(await jobsOf({ smtpUtf8: false, eightBitHeader: true }), [
    'false: bob@peer.example carl@peer.example',
    'true: jürgen@peer.example',
  ]);
});
