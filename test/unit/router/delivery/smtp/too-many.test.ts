import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SinkAction, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, MESSAGE, smtpHop, testDelivery, testJob } from '#test/unit/router/delivery/fixtures.ts';

const RECIPIENTS = Array.from({ length: 25 }, (_, i) => `u${i}@x.test`);

/** A peer that takes ten recipients at a time, and says `refusal` to further ones. */
function tens(refusal: string, more: (verb: string, messages: number) => SinkAction | undefined = () => undefined) {
  let recipients = 0;
  let messages = 0;
  const script: SinkOptions['script'] = ({ verb }) => {
    if (verb === 'MAIL') recipients = 0;
    if (verb === 'MESSAGE') messages++;
    return more(verb, messages) ?? (verb === 'RCPT' && ++recipients > 10 ? refusal : undefined);
  };
  return script;
}

for (const refusal of [
  '452 4.5.3 too many',
  '452 too many',
  '552 5.5.3 too many',
  '552 too many',
  '450 4.5.3 slowly',
]) {
  for (const extensions of [['PIPELINING'], []]) {
    test(`after "${refusal}" the others follow at once over the same connection${extensions.length > 0 ? '' : ' without pipelining'}`, async () => {
      await using sink = await SmtpSink.start({ extensions, script: tens(refusal) });
      await using delivery = testDelivery();
      const job = testJob({ recipients: RECIPIENTS });
      const [results = []] = await delivery.run(smtpHop(sink.port), job);
      assert.deepEqual(
        brief(results),
        RECIPIENTS.map(() => 'delivered 250 2.0.0'),
      );
      assert.deepEqual(
        sink.messages.map(({ recipients }) => recipients.length),
        [10, 10, 5],
      );
      assert.deepEqual(
        new Set(sink.messages.flatMap(({ recipients }) => recipients.map(({ address }) => address))),
        new Set(RECIPIENTS),
      );
      assert.ok(sink.messages.every(({ data }) => data.toString() === MESSAGE));
      assert.equal(sink.sessions.length, 1);
      assert.equal(job.opened, 1);
    });
  }
}

test('LMTP: recipients that were too many follow as well', async () => {
  await using sink = await SmtpSink.start({ lmtp: true, script: tens('452 4.5.3 too many') });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port, { kind: 'lmtp' }), testJob({ recipients: RECIPIENTS }));
  assert.deepEqual(
    brief(results),
    RECIPIENTS.map(() => 'delivered 250 2.0.0'),
  );
});

test('a peer that leaves after each message: those that are left wait as after a first attempt', async () => {
  for (const leave of ['close', { reply: '421 4.7.0 enough', close: true }] as const) {
    const script = tens('452 4.5.3 too many', (verb, messages) =>
      verb === 'MAIL' && messages === 1 ? leave : undefined,
    );
    await using sink = await SmtpSink.start({ script });
    await using delivery = testDelivery();
    const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ recipients: RECIPIENTS }));
    assert.equal(results.filter(({ state }) => state === 'delivered').length, 10);
    const deferred = results.filter(({ state }) => state === 'deferred');
    assert.equal(deferred.length, 15);
    assert.ok(deferred.every(({ progress }) => progress === true));
  }
});

/** Refusals that are not about the number of recipients, and an answer to the message that stops the rest. */
const OTHERS: [name: string, refusal: string, final: string | undefined, expected: string][] = [
  ['a full mailbox', '452 4.2.2 full', undefined, 'deferred 452 4.2.2'],
  ['a full disk', '452 4.3.1 full', undefined, 'deferred 452 4.3.1'],
  ['too many recipients, when the message is deferred', '452 4.5.3 too many', '451 4.3.0 later', 'deferred 452 4.5.3'],
];
for (const [name, refusal, final, expected] of OTHERS) {
  test(`no further transaction follows for ${name}`, async () => {
    await using sink = await SmtpSink.start({
      script: tens(refusal, (verb) => (verb === 'MESSAGE' ? final : undefined)),
    });
    await using delivery = testDelivery();
    const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ recipients: RECIPIENTS }));
    assert.deepEqual(
      brief(results).slice(10),
      Array.from({ length: 15 }, () => expected),
    );
    assert.ok(results.every(({ progress }) => progress === undefined));
    assert.equal(sink.sessions[0]?.lines.filter((line) => line.startsWith('MAIL')).length, 1);
  });
}

test('a content that is refused for the first ten is refused for all', async () => {
  await using sink = await SmtpSink.start({
    script: tens('452 4.5.3 too many', (verb) => (verb === 'MESSAGE' ? '554 5.7.1 no' : undefined)),
  });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ recipients: RECIPIENTS }));
  assert.deepEqual(
    brief(results),
    RECIPIENTS.map(() => 'failed 554 5.7.1'),
  );
});
