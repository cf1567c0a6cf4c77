import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** What delivery makes of peers that want less, as they say or show. */

function jobs(count: number) {
  return Array.from({ length: count }, () => testJob());
}

async function run(script: Record<string, string>, count: number) {
  await using sink = await SmtpSink.start({
    script: ({ verb }) =>
      script[verb] ??
      (verb !== 'CONNECT' && verb !== 'EHLO' && verb !== 'RSET' && script['MAIL'] ? '503 5.5.1 MAIL first' : undefined),
  });
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
  const results = await delivery.run(smtpHop(sink.port), ...jobs(count));
  const mails = sink.sessions.flatMap(({ lines }) => lines).filter((line) => line.startsWith('MAIL')).length;
  return { results: [...new Set(results.flatMap(brief))], mails };
}

test('a peer that asks for a slower pace is not asked with each message', async () => {
  const { results, mails } = await run({ MAIL: '450 4.7.1 rate limit exceeded, try again later' }, 20);
  assert.deepEqual(results, ['deferred 450 4.7.1']);
  assert.equal(mails, 3);
});

test('greylisting says nothing of other messages', async () => {
  const { results, mails } = await run({ RCPT: '451 4.7.1 Greylisting in action, please come back later' }, 20);
  assert.deepEqual(results, ['deferred 451 4.7.1']);
  assert.equal(mails, 20);
});

test('mail waits where our address is on a list, and is returned where its sender is refused', async () => {
  const blocked = await run({ MAIL: '554 5.7.1 Client host [192.0.2.1] blocked using bl.example' }, 20);
  assert.deepEqual(blocked, { results: ['deferred 554 5.7.1'], mails: 3 });
  const recipient = await run({ RCPT: '554 5.7.1 Client host [192.0.2.1] blocked using bl.example' }, 20);
  assert.deepEqual(recipient, { results: ['failed 554 5.7.1'], mails: 20 });
  const sender = await run({ MAIL: '550 5.1.8 no such domain' }, 20);
  assert.deepEqual(sender, { results: ['failed 550 5.1.8'], mails: 20 });
});

for (const [where, verb] of [
  ['in place of the greeting', 'CONNECT'],
  ['to MAIL', 'MAIL'],
] as const) {
  test(`a peer that says 421 ${where} beyond four connections gets most mail at once, and few connections too many`, async () => {
    let refused = 0;
    await using sink = await SmtpSink.start({
      script: (step) => {
        if (step.verb !== verb || sink.open <= 4) return undefined;
        refused++;
        return { reply: '421 4.7.0 too many connections', close: true };
      },
    });
    await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 20 } }) });
    const results = await delivery.run(smtpHop(sink.port), ...jobs(1000));
    const delivered = results.flat().filter(({ state }) => state === 'delivered').length;
    assert.equal(delivered, sink.messages.length);
    // A refused MAIL defers its message, unless the connection was idle before: then a fresh one is tried. A refused
    // connection defers nothing.
    assert.ok(delivered >= (verb === 'CONNECT' ? 1000 : 1000 - refused), `${delivered} delivered, ${refused} refused`);
    assert.ok(refused > 0 && refused < 40, `${refused} refused`);
  });
}
