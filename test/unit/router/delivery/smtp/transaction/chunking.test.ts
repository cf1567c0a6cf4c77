import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logLines } from '#test/kit/log-lines.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { type SinkAction, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  brief,
  MESSAGE,
  smtpHop,
  type TestDelivery,
  testDelivery,
  testJob,
  testSettings,
} from '#test/unit/router/delivery/fixtures.ts';

const OFFERS = ['PIPELINING', 'CHUNKING', '8BITMIME', 'SMTPUTF8', 'DSN'];
const LENGTH = MESSAGE.length;

type Script = Record<string, SinkAction>;

function sinkFor(script: Script = {}, options: SinkOptions = {}): Promise<SmtpSink> {
  return SmtpSink.start({
    extensions: OFFERS,
    ...options,
    script: ({ verb, address, line }) => script[line] ?? script[`${verb} ${address}`] ?? script[verb],
  });
}

const QUICK = { timeout: { connect: '500ms', command: '300ms', data: '300ms' } };

function deliveryOf(more: Parameters<typeof testDelivery>[0] = {}): TestDelivery {
  return testDelivery({ settings: testSettings({ delivery: { connections: 1, ...QUICK } }), ...more });
}

/** The lines of all sessions, without EHLO and the parameters of MAIL and RCPT. */
function said(sink: SmtpSink): string[][] {
  return sink.sessions.map(({ lines }) => lines.slice(1).map((line) => line.replace(/^(MAIL|RCPT) .*/, '$1')));
}

test('the first message of a session goes by DATA, the second in two chunks, the others in one write', async () => {
  await using sink = await sinkFor();
  await using delivery = deliveryOf();
  const hop = smtpHop(sink.port);
  const results = await delivery.run(hop, testJob(), testJob(), testJob(), testJob({ recipients: ['b@x', 'c@x'] }));
  assert.ok(results.flat().every(({ state }) => state === 'delivered'));
  assert.deepEqual(said(sink), [
    [
      ...['MAIL', 'RCPT', 'DATA'],
      ...['MAIL', 'RCPT', 'BDAT 1', `BDAT ${LENGTH - 1} LAST`],
      ...['MAIL', 'RCPT', `BDAT ${LENGTH} LAST`],
      ...['MAIL', 'RCPT', 'RCPT', `BDAT ${LENGTH} LAST`],
    ],
  ]);
  assert.deepEqual(
    sink.messages.map(({ data }) => data.toString()),
    [MESSAGE, MESSAGE, MESSAGE, MESSAGE],
  );
});

for (const [name, extensions, kind] of [
  ['does not pipeline', ['CHUNKING'], 'smtp'],
  ['speaks LMTP', OFFERS, 'lmtp'],
] as const) {
  test(`a peer that ${name} gets every message by DATA`, async () => {
    await using sink = await sinkFor({}, { extensions, lmtp: kind === 'lmtp' });
    await using delivery = deliveryOf();
    await delivery.run(smtpHop(sink.port, { kind }), testJob(), testJob(), testJob());
    assert.deepEqual(said(sink), [Array.from({ length: 3 }, () => ['MAIL', 'RCPT', 'DATA']).flat()]);
  });
}

test('a large message goes by DATA, the next small one by BDAT', async () => {
  await using sink = await sinkFor();
  await using delivery = deliveryOf();
  const large = `${MESSAGE}${'.x\r\n'.repeat(40_000)}`;
  await delivery.run(smtpHop(sink.port), testJob(), testJob({ message: large }), testJob());
  assert.deepEqual(said(sink)[0]?.slice(3), [
    'MAIL',
    'RCPT',
    'DATA',
    'MAIL',
    'RCPT',
    'BDAT 1',
    `BDAT ${LENGTH - 1} LAST`,
  ]);
  assert.equal(sink.messages[1]?.data.toString(), large);
});

test('what goes by BDAT is not stuffed, in TLS as in clear text, and ends with CRLF', async () => {
  const tls = await (await createAuthority()).issue();
  await using sink = await sinkFor({}, { tls });
  await using delivery = deliveryOf();
  const message = '.Subject: dots\r\n\r\n.\r\n..\r\nGrüße\r\n.';
  const job = () => testJob({ message, eightBitBody: true, ret: 'HDRS', envid: 'e' });
  await delivery.run(smtpHop(sink.port, { tls: 'required' }), testJob(), job(), job());
  for (const { data, from, session } of sink.messages.slice(1)) {
    assert.equal(data.toString(), `${message}\r\n`);
    assert.deepEqual(from.parameters, ['BODY=8BITMIME', 'RET=HDRS', 'ENVID=e']);
    assert.equal(session.tls?.protocol, 'TLSv1.3');
  }
  assert.equal(sink.messages.length, 3);
});

/** What the peer does with the third message, to b, c and d (or the second one, its first by BDAT). */
type Case = [name: string, script: Script, results: string[], how?: 'closes'];
const three = (one: string): string[] => [one, one, one];
const CASES: Case[] = [
  ['refuses the sender', { 'MAIL z@x': '550 5.1.8 bad', RCPT: '503 5.5.1 MAIL first' }, three('failed 550 5.1.8')],
  [
    'has no room for the sender',
    { 'MAIL z@x': '452 4.3.1 full', RCPT: '503 5.5.1 MAIL first' },
    three('deferred 452 4.3.1'),
  ],
  [
    'answers each recipient by itself',
    { 'RCPT b@x': '550 5.1.1 nobody', 'RCPT c@x': '450 4.2.0 grey' },
    ['failed 550 5.1.1', 'deferred 450 4.2.0', 'delivered 250 2.0.0'],
  ],
  [
    'refuses every recipient, some for now',
    { 'RCPT b@x': '550 5.1.1 nobody', 'RCPT c@x': '450 4.2.0 grey', 'RCPT d@x': '450 4.2.0 grey' },
    ['failed 550 5.1.1', 'deferred 450 4.2.0', 'deferred 450 4.2.0'],
  ],
  [
    'takes two recipients at a time',
    { 'RCPT d@x': '452 4.5.3 too many' },
    ['delivered 250 2.0.0', 'delivered 250 2.0.0', 'deferred 452 4.5.3'],
  ],
  ['refuses the message', { MESSAGE: '554 5.7.1 spam' }, three('failed 554 5.7.1')],
  ['wants the message later', { MESSAGE: '451 4.7.1 later' }, three('deferred 451 4.7.1')],
  ['asks for more after the message', { MESSAGE: '354 more' }, three('deferred 451 4.5.0'), 'closes'],
  ['closes at the second recipient', { 'RCPT c@x': 'close' }, three('deferred 451 4.4.2'), 'closes'],
  [
    'says 421 at the second recipient',
    { 'RCPT c@x': { reply: '421 4.3.2 down', close: true } },
    three('deferred 421 4.3.2'),
    'closes',
  ],
  ['closes at the message', { MESSAGE: 'close' }, three('deferred 451 4.4.2'), 'closes'],
  ['says nothing to the message', { MESSAGE: 'hang' }, three('deferred 451 4.4.2'), 'closes'],
];
for (const [name, script, results, closes] of CASES) {
  for (const messagesBefore of [1, 2]) {
    test(`${messagesBefore === 1 ? 'in two chunks' : 'in one'}: a peer that ${name}`, async () => {
      let on = false;
      await using sink = await SmtpSink.start({
        extensions: OFFERS,
        script: ({ verb, address }) => (on ? (script[`${verb} ${address}`] ?? script[verb]) : undefined),
      });
      await using delivery = deliveryOf();
      const hop = smtpHop(sink.port);
      await delivery.run(hop, ...Array.from({ length: messagesBefore }, () => testJob()));
      on = true;
      const job = testJob({ reversePath: 'z@x', recipients: ['b@x', 'c@x', 'd@x'] });
      const [got = []] = await delivery.run(hop, job);
      on = false;
      assert.deepEqual(brief(got), results);
      assert.equal(job.finished, 1);
      const taken = sink.messages.filter(({ from }) => from.address === 'z@x');
      const delivered = results.filter((result) => result.startsWith('delivered')).length;
      assert.equal(taken.flatMap(({ recipients }) => recipients).length, delivered);
      for (const { data, recipients } of taken) if (recipients.length > 0) assert.equal(data.toString(), MESSAGE);
      const [next = []] = await delivery.run(hop, testJob());
      assert.deepEqual(brief(next), ['delivered 250 2.0.0'], 'the next message');
      assert.equal(sink.sessions.length, closes === undefined ? 1 : 2);
    });
  }
}

test('a peer that offers CHUNKING without knowing BDAT gets no command out of a message, and its mail by DATA', async () => {
  const smuggled = 'RSET\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<victim@x>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n';
  for (const refuses of [false, true]) {
    const { log, lines } = logLines();
    const script: Script = refuses ? { 'RCPT b@x': '550 5.1.1 nobody' } : {};
    await using sink = await sinkFor(script, { withoutBdat: true });
    await using delivery = deliveryOf({ log });
    const hop = smtpHop(sink.port);
    const evil = () => testJob({ message: smuggled, recipients: ['b@x'] });
    const results = await delivery.run(hop, testJob(), evil(), evil(), testJob());
    const expected = refuses ? 'failed 550 5.1.1' : 'delivered 250 2.0.0';
    assert.deepEqual(
      results.map((one) => brief(one)[0]),
      ['delivered 250 2.0.0', expected, expected, 'delivered 250 2.0.0'],
    );
    assert.equal(sink.sessions.flatMap((session) => session.lines).filter((line) => line.includes('evil')).length, 0);
    assert.equal(sink.sessions.flatMap((session) => session.lines).filter((line) => line.startsWith('BDAT')).length, 1);
    assert.equal(sink.sessions.length, 2);
    assert.equal(lines().filter(({ msg }) => msg.includes('CHUNKING')).length, 1);
  }
});

test('a host that refuses BDAT out of place later on gets the message by DATA, once', async () => {
  let count = 0;
  await using sink = await SmtpSink.start({
    extensions: OFFERS,
    script: ({ verb, line }) =>
      verb === 'MESSAGE' && line === `BDAT ${LENGTH} LAST` && ++count === 2 ? '503 5.5.1 bad sequence' : undefined,
  });
  await using delivery = deliveryOf();
  const jobs = Array.from({ length: 6 }, () => testJob());
  const results = await delivery.run(smtpHop(sink.port), ...jobs);
  assert.ok(results.flat().every(({ state }) => state === 'delivered'));
  assert.equal(sink.messages.length, 6);
  assert.deepEqual(
    sink.sessions.map(({ messages }) => messages.length),
    [3, 3],
  );
  assert.ok(!said(sink)[1]?.some((line) => line.startsWith('BDAT')));
});

test('a session that the peer closed between messages is not taken for a possible duplicate', async () => {
  const { log, lines } = logLines();
  await using sink = await SmtpSink.start({
    extensions: OFFERS,
    script: ({ verb, session }) =>
      verb === 'MESSAGE' && session.messages.length === 3
        ? { reply: '250 2.0.0 taken, and that is all', close: true }
        : undefined,
  });
  await using delivery = deliveryOf({ log });
  // It takes a moment to write down what became of a message: by then the end of the session is there.
  let finished = 0;
  const finish = async (): Promise<void> => {
    const session = sink.sessions.at(-1);
    if (++finished % 4 === 0) await waitFor(() => session?.closed === true, { what: 'the end of the session' });
  };
  const results = await delivery.run(smtpHop(sink.port), ...Array.from({ length: 20 }, () => testJob({ finish })));
  assert.ok(results.flat().every(({ state }) => state === 'delivered'));
  assert.equal(sink.sessions.length, 5);
  assert.ok(
    said(sink).every((session) => session.at(-1) === `BDAT ${LENGTH} LAST`),
    'BDAT goes on in new sessions',
  );
  assert.deepEqual(
    lines().filter(({ level }) => Number(level) >= 40),
    [],
  );
});

test('a peer that has read a message and closes before it answers any of its commands may have taken it', async () => {
  const { log, lines } = logLines();
  // Many answer a pipelined batch in one write, when they have taken the message (RFC 2920 §3.2).
  await using sink = await SmtpSink.start({
    extensions: OFFERS,
    script: ({ verb, session }) => (verb === 'MAIL' && session.messages.length === 2 ? 'close' : undefined),
  });
  await using delivery = deliveryOf({ log });
  const [first, second, third] = [testJob(), testJob(), testJob()];
  const results = await delivery.run(smtpHop(sink.port), first, second, third);
  assert.ok(results.flat().every(({ state }) => state === 'delivered'));
  assert.equal(sink.sessions.length, 2);
  const found = lines().filter(({ msg }) => msg.startsWith('possible duplicate'));
  assert.deepEqual(
    found.map(({ queueId }) => queueId),
    [third.queueId],
  );
});

test('a message that may not go any more when the peer has taken its first byte does not go', async () => {
  let ours = true;
  await using sink = await SmtpSink.start({
    extensions: OFFERS,
    script: ({ line }) => {
      if (line === 'BDAT 1') ours = false;
      return undefined;
    },
  });
  await using delivery = deliveryOf();
  async function* message() {
    yield Buffer.from(MESSAGE);
    if (!ours) throw new Error('another node may take the message over');
  }
  const results = await delivery.run(smtpHop(sink.port), testJob(), testJob({ message }));
  assert.deepEqual(results.flatMap(brief), ['delivered 250 2.0.0', 'deferred 451 4.3.0 local']);
  assert.equal(sink.messages.length, 1);
});

test('a peer that refuses the sender and closes has no copy of the message, and does BDAT right', async () => {
  const { log, lines } = logLines();
  await using sink = await sinkFor({ 'MAIL z@x': { reply: '550 5.7.1 not from you', close: true } });
  await using delivery = deliveryOf({ log });
  const refused = testJob({ reversePath: 'z@x' });
  const jobs = [testJob(), testJob(), testJob(), refused, testJob(), testJob(), testJob()];
  const results = await delivery.run(smtpHop(sink.port), ...jobs);
  assert.equal(results.flat().filter(({ state }) => state === 'delivered').length, jobs.length - 1);
  assert.deepEqual(brief(results[3] ?? []), ['failed 550 5.7.1']);
  assert.ok(said(sink)[1]?.includes(`BDAT ${LENGTH} LAST`), 'BDAT goes on in the next session');
  assert.deepEqual(
    lines().filter(({ msg }) => /possible duplicate|CHUNKING/.test(msg)),
    [],
  );
});

test('a NUL does not leave by BDAT, nor does a message that cannot be read to its end', async () => {
  async function* damaged() {
    yield Buffer.from(MESSAGE);
    throw new Error('digest does not match');
  }
  for (const message of ['a\r\n\0b\r\n', damaged]) {
    await using sink = await sinkFor();
    await using delivery = deliveryOf();
    const hop = smtpHop(sink.port);
    await delivery.run(hop, testJob(), testJob());
    const [results = []] = await delivery.run(hop, testJob({ message }));
    assert.deepEqual(brief(results), ['deferred 451 4.3.0 local']);
    assert.equal(sink.messages.length, 2);
  }
});
