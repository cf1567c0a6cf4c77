import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExtensions } from '#services/router/delivery/smtp/extensions.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** LIMITS (RFC 9422): how it is read, and that what is sent keeps to it. */

const NONE = Number.POSITIVE_INFINITY;
for (const [line, mail, recipients, domains] of [
  ['LIMITS', NONE, NONE, NONE],
  ['LIMITS MAILMAX=0 RCPTMAX=01 RCPTDOMAINMAX=1000000', NONE, NONE, NONE],
  ['LIMITS MAILMAX RCPTMAX= RCPTDOMAINMAX=-1', NONE, NONE, NONE],
  ['LIMITS MAILMAX=5x RCPTMAX=1.5 RCPTDOMAINMAX = 1', NONE, NONE, NONE],
  ['LIMITS MAILMAX=5 MAILMAX=6 RCPTMAX=7 RCPTMAX=7', NONE, 7, NONE],
  ['limits mailmax=1 OTHER=3 rcptmax=100 rcptdomainmax=999999', 1, 100, 999_999],
  ['XLIMITS MAILMAX=5', NONE, NONE, NONE],
] as const) {
  test(`"${line}" is read`, () => {
    assert.deepEqual(parseExtensions(['peer.test', line]).limits, { mail, recipients, domains });
  });
}

test('what stands in the first line of the reply is the name of the peer', () => {
  assert.equal(parseExtensions(['LIMITS MAILMAX=5']).limits.mail, NONE);
});

/** Sessions, and in each the recipients of its transactions. */
async function sessionsOf(limits: string, jobs: string[][], script?: Record<string, string>) {
  await using sink = await SmtpSink.start({
    extensions: ['PIPELINING', 'CHUNKING', `LIMITS ${limits}`],
    script: ({ verb, address }) => script?.[`${verb} ${address}`],
  });
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
  const all = jobs.map((recipients) => testJob({ recipients }));
  const results = await delivery.run(smtpHop(sink.port), ...all);
  assert.ok(all.every(({ finished }) => finished === 1));
  const sessions = sink.sessions.map(({ messages }) =>
    messages.map((m) => m.recipients.map((r) => r.address).join(' ')),
  );
  return { sessions, results: results.map(brief) };
}

const OK = 'delivered 250 2.0.0';

test('a session carries as many transactions as the peer takes', async () => {
  const { sessions, results } = await sessionsOf(
    'MAILMAX=2',
    ['a@x', 'b@x', 'c@x', 'd@x', 'e@x'].map((one) => [one]),
  );
  assert.deepEqual(sessions, [['a@x', 'b@x'], ['c@x', 'd@x'], ['e@x']]);
  assert.ok(results.flat().every((result) => result === OK));
});

test('a message with more recipients than the peer takes goes in several transactions, each recipient once', async () => {
  const { sessions, results } = await sessionsOf('RCPTMAX=2', [['a@x', 'b@x', 'c@x', 'd@x', 'e@x'], ['f@x']]);
  assert.deepEqual(sessions, [['a@x b@x', 'c@x d@x', 'e@x', 'f@x']]);
  assert.deepEqual(results, [[OK, OK, OK, OK, OK], [OK]]);
});

test('recipients of few domains go together', async () => {
  const { sessions } = await sessionsOf('RCPTDOMAINMAX=2', [['a@x', 'b@y', 'c@z', 'd@X', 'e@z', 'f@w']]);
  assert.deepEqual(sessions, [['a@x b@y d@X', 'c@z e@z f@w']]);
});

test('refusals in one transaction do not keep the others from theirs', async () => {
  const { sessions, results } = await sessionsOf('RCPTMAX=2', [['a@x', 'b@x', 'c@x', 'd@x', 'e@x']], {
    'RCPT a@x': '550 5.1.1 nobody',
    'RCPT b@x': '450 4.2.0 grey',
    'RCPT d@x': '552 5.2.2 full',
  });
  assert.deepEqual(
    sessions[0]?.filter((recipients) => recipients !== ''),
    ['c@x', 'e@x'],
  );
  assert.deepEqual(results[0], ['failed 550 5.1.1', 'deferred 450 4.2.0', OK, 'failed 552 5.2.2', OK]);
});

test('recipients that the last transaction of a session leaves wait', async () => {
  const { sessions, results } = await sessionsOf('MAILMAX=1 RCPTMAX=2', [['a@x', 'b@x', 'c@x'], ['d@x']]);
  assert.deepEqual(sessions, [['a@x b@x'], ['d@x']]);
  assert.deepEqual(results, [[OK, OK, 'deferred 451 4.5.3'], [OK]]);
});
