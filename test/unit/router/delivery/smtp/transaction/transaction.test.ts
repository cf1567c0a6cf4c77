import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop, OpenedMessage } from '#services/router/delivery/job.ts';
import { SealpostError } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { type SinkAction, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import {
  brief,
  MESSAGE,
  smtpHop,
  type TestJob,
  testDelivery,
  testJob,
  testSettings,
} from '#test/unit/router/delivery/fixtures.ts';
import { rawPeer } from '#test/unit/router/delivery/smtp/raw-peer.ts';

/** What is told slowly on a busy machine is told in this time all the same. */
const PATIENT = { delivery: { timeout: { connect: '5s', command: '1s', data: '1s' } } };
const QUICK = { delivery: { timeout: { connect: '200ms', command: '150ms', data: '150ms' } } };
const WITHOUT_PIPELINING = ['8BITMIME', 'SMTPUTF8', 'DSN'];

/** What the peer does at each step, by verb or by verb and address; and what becomes of recipients b, c, d. */
type Case = [name: string, script: Record<string, SinkAction>, results: string[]];

const CASES: Case[] = [
  [
    'greets with 554',
    { CONNECT: '554 5.7.1 go away' },
    ['deferred 554 5.7.1', 'deferred 554 5.7.1', 'deferred 554 5.7.1'],
  ],
  ['greets with rubbish', { CONNECT: 'SSH-2.0-x' }, ['deferred 451 4.5.0', 'deferred 451 4.5.0', 'deferred 451 4.5.0']],
  [
    'refuses EHLO for now',
    { EHLO: '451 4.3.0 no' },
    ['deferred 451 4.3.0', 'deferred 451 4.3.0', 'deferred 451 4.3.0'],
  ],
  ['refuses EHLO and HELO', { EHLO: '502 no', HELO: '550 no' }, ['deferred 550', 'deferred 550', 'deferred 550']],
  ['refuses the sender', { MAIL: '550 5.1.8 bad' }, ['failed 550 5.1.8', 'failed 550 5.1.8', 'failed 550 5.1.8']],
  [
    'has no room for the sender',
    { MAIL: '452 4.3.1 full' },
    ['deferred 452 4.3.1', 'deferred 452 4.3.1', 'deferred 452 4.3.1'],
  ],
  [
    'asks for a login',
    { MAIL: '530 5.7.0 login' },
    ['deferred 530 5.7.0 local', 'deferred 530 5.7.0 local', 'deferred 530 5.7.0 local'],
  ],
  [
    'asks for a message at MAIL',
    { MAIL: '354 odd' },
    ['deferred 451 4.5.0', 'deferred 451 4.5.0', 'deferred 451 4.5.0'],
  ],
  [
    'answers each recipient by itself',
    { 'RCPT b@x.test': '550 5.1.1 nobody', 'RCPT c@x.test': '450 4.2.0 grey' },
    ['failed 550 5.1.1', 'deferred 450 4.2.0', 'delivered 250 2.0.0'],
  ],
  [
    'refuses every recipient',
    { RCPT: '550 5.1.1 nobody' },
    ['failed 550 5.1.1', 'failed 550 5.1.1', 'failed 550 5.1.1'],
  ],
  [
    'refuses every recipient and DATA',
    { RCPT: '550 5.1.1 nobody', DATA: '554 5.5.1 no valid recipients' },
    ['failed 550 5.1.1', 'failed 550 5.1.1', 'failed 550 5.1.1'],
  ],
  [
    'says 552 for two recipients, also when they come alone',
    { 'RCPT c@x.test': '552 too many', 'RCPT d@x.test': '552 5.5.3 too many' },
    ['delivered 250 2.0.0', 'failed 552', 'failed 552 5.5.3'],
  ],
  [
    'says 552 for a full mailbox',
    { 'RCPT c@x.test': '552 5.2.2 full' },
    ['delivered 250 2.0.0', 'failed 552 5.2.2', 'delivered 250 2.0.0'],
  ],
  ['says 552 to the first recipient', { RCPT: '552 no' }, ['failed 552', 'failed 552', 'failed 552']],
  [
    'refuses DATA',
    { 'RCPT b@x.test': '550 5.1.1 nobody', DATA: '451 4.3.0 not now' },
    ['failed 550 5.1.1', 'deferred 451 4.3.0', 'deferred 451 4.3.0'],
  ],
  ['refuses DATA for good', { DATA: '554 5.7.1 no' }, ['failed 554 5.7.1', 'failed 554 5.7.1', 'failed 554 5.7.1']],
  ['takes DATA for done', { DATA: '250 ok' }, ['deferred 451 4.5.0', 'deferred 451 4.5.0', 'deferred 451 4.5.0']],
  ['refuses the message', { MESSAGE: '554 5.7.1 spam' }, ['failed 554 5.7.1', 'failed 554 5.7.1', 'failed 554 5.7.1']],
  [
    'wants the message later',
    { MESSAGE: '451 4.7.1 later' },
    ['deferred 451 4.7.1', 'deferred 451 4.7.1', 'deferred 451 4.7.1'],
  ],
  [
    'asks for more after the message',
    { MESSAGE: '354 more' },
    ['deferred 451 4.5.0', 'deferred 451 4.5.0', 'deferred 451 4.5.0'],
  ],
  [
    'greets with a refusal in two codes',
    { CONNECT: '220-sink.test\r\n521 5.7.1 blocked' },
    ['deferred 521 5.7.1', 'deferred 521 5.7.1', 'deferred 521 5.7.1'],
  ],
  [
    'uses other codes of the same kind',
    { CONNECT: '250 hi', EHLO: '220 hello', MAIL: '251 ok', RCPT: '252 ok', DATA: '350 go' },
    ['delivered 250 2.0.0', 'delivered 250 2.0.0', 'delivered 250 2.0.0'],
  ],
  [
    'says 421 after it refused a recipient',
    { 'RCPT b@x.test': '550 5.1.1 nobody', 'RCPT c@x.test': { reply: '421 4.3.2 down', close: true } },
    ['failed 550 5.1.1', 'deferred 421 4.3.2', 'deferred 421 4.3.2'],
  ],
  [
    'closes after it refused a recipient',
    { 'RCPT b@x.test': '550 5.1.1 nobody', 'RCPT c@x.test': 'close' },
    ['failed 550 5.1.1', 'deferred 451 4.4.2', 'deferred 451 4.4.2'],
  ],
];
for (const verb of ['CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'MESSAGE']) {
  const three = (one: string): string[] => [one, one, one];
  CASES.push([`closes at ${verb}`, { [verb]: 'close' }, three('deferred 451 4.4.2')]);
  CASES.push([`hangs at ${verb}`, { [verb]: 'hang' }, three('deferred 451 4.4.2')]);
  CASES.push([
    `says 421 at ${verb}`,
    { [verb]: { reply: '421 4.3.2 down', close: true } },
    three('deferred 421 4.3.2'),
  ]);
  CASES.push([`talks nonsense at ${verb}`, { [verb]: 'what?' }, three('deferred 451 4.5.0')]);
}

function sinkFor(script: Record<string, SinkAction>, options: SinkOptions = {}): Promise<SmtpSink> {
  return SmtpSink.start({ ...options, script: ({ verb, address }) => script[`${verb} ${address}`] ?? script[verb] });
}

for (const [name, script, results] of CASES) {
  for (const extensions of [undefined, WITHOUT_PIPELINING]) {
    test(`a peer ${extensions === undefined ? '' : 'without pipelining '}that ${name}`, async () => {
      await using sink = await sinkFor(script, extensions === undefined ? {} : { extensions });
      await using delivery = testDelivery({ settings: testSettings(QUICK) });
      const job = testJob({ recipients: ['b@x.test', 'c@x.test', 'd@x.test'] });
      const [got = []] = await delivery.run(smtpHop(sink.port), job);
      assert.deepEqual(brief(got), results);
      assert.equal(job.finished, 1);
      const delivered = results.filter((result) => result.startsWith('delivered')).length;
      // What a lone dot ended reached no recipient. The sink believes that it took a message when it says `250-`.
      const taken = sink.messages.filter(({ recipients }) => recipients.length > 0 && script['MESSAGE'] === undefined);
      assert.equal(taken[0]?.recipients.length ?? 0, delivered);
      assert.equal(taken[0]?.data.toString() ?? MESSAGE, MESSAGE);
      assert.ok(got.every(({ outcome }) => outcome.host === `127.0.0.1[127.0.0.1]:${sink.port}`));
    });
  }
}

test('the envelope of a pipelining peer goes out in one write, and the next message over the same connection', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  const hop = smtpHop(sink.port);
  await delivery.run(hop, testJob({ recipients: ['b@x.test', 'c@x.test'] }));
  const [[second] = []] = await delivery.run(hop, testJob({ reversePath: '', ret: 'HDRS', envid: 'e' }));
  assert.equal(sink.sessions.length, 1);
  assert.deepEqual(sink.sessions[0]?.lines, [
    'EHLO edge.test',
    `MAIL FROM:<a@sender.test> SIZE=${MESSAGE.length}`,
    'RCPT TO:<b@x.test>',
    'RCPT TO:<c@x.test>',
    'DATA',
    `MAIL FROM:<> SIZE=${MESSAGE.length} RET=HDRS ENVID=e`,
    'RCPT TO:<b@example.test>',
    'DATA',
  ]);
  assert.equal(second?.notice, 'passed');
});

test('a refused envelope is reset before the next message, and its lone dot delivers nothing', async () => {
  await using sink = await sinkFor({ 'RCPT b@x.test': '550 5.1.1 nobody', 'RCPT c@x.test': '550 5.1.1 nobody' });
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 1 } }) });
  const hop = smtpHop(sink.port);
  const results = await delivery.run(
    hop,
    testJob({ recipients: ['b@x.test'] }),
    testJob({ recipients: ['d@x.test'] }),
    testJob({ recipients: ['c@x.test'] }),
  );
  assert.deepEqual(results.map(brief), [['failed 550 5.1.1'], ['delivered 250 2.0.0'], ['failed 550 5.1.1']]);
  // The sink keeps what a lone dot ends, too: a message for no recipient.
  assert.deepEqual(
    sink.messages.map(({ recipients, data }) => [recipients.map((r) => r.address), data.length]),
    [
      [[], 0],
      [['d@x.test'], MESSAGE.length],
      [[], 0],
    ],
  );
});

test('after a DATA that was refused, RSET goes out before MAIL', async () => {
  await using sink = await sinkFor({ 'RCPT b@x.test': '550 5.1.1 nobody', DATA: '554 5.5.1 no valid recipients' });
  await using delivery = testDelivery();
  const hop = smtpHop(sink.port);
  await delivery.run(hop, testJob({ recipients: ['b@x.test'] }));
  await delivery.run(hop, testJob({ recipients: ['c@x.test'] }));
  assert.deepEqual(
    sink.sessions[0]?.lines.map((line) => line.slice(0, 4)),
    ['EHLO', 'MAIL', 'RCPT', 'DATA', 'RSET', 'MAIL', 'RCPT', 'DATA'],
  );
});

test('a recipient that cannot be written fails alone, a reverse-path that cannot fails all', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  const hop = smtpHop(sink.port);
  const evil = 'x@y.test>\r\nRCPT TO:<z@y.test';
  const [results = []] = await delivery.run(hop, testJob({ recipients: [evil, 'b@x.test'] }));
  assert.deepEqual(brief(results), ['failed 553 5.1.3', 'delivered 250 2.0.0']);
  const [refused = []] = await delivery.run(hop, testJob({ reversePath: evil, recipients: ['b@x.test', 'c@x.test'] }));
  assert.deepEqual(brief(refused), ['failed 553 5.1.7', 'failed 553 5.1.7']);
  assert.ok(!sink.sessions[0]?.lines.some((line) => line.includes('z@y.test')));
});

for (const [name, extensions, job, reply] of [
  ['SIZE', ['SIZE 10'], {}, 'failed 552 5.3.4'],
  ['8BITMIME', ['SMTPUTF8'], { eightBitBody: true }, 'failed 554 5.6.3'],
  ['SMTPUTF8', ['8BITMIME'], { smtpUtf8: true, recipients: ['ü@x.test'] }, 'failed 553 5.6.7'],
] as const) {
  test(`a message that the peer cannot take by its ${name} is not offered`, async () => {
    await using sink = await SmtpSink.start({ extensions });
    await using delivery = testDelivery();
    const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ ...job, recipients: ['ü@x.test'] }));
    assert.deepEqual(brief(results), [reply]);
    assert.deepEqual(sink.sessions[0]?.lines, ['EHLO edge.test']);
  });
}

test('a peer without 8BITMIME gets the message in 7 bit, and the outcome says so', async () => {
  await using sink = await SmtpSink.start({ extensions: ['SIZE 1000'] });
  await using delivery = testDelivery();
  const bytes = Buffer.from('Subject: converted\r\n\r\nA line.\r\n');
  const job = (sevenBit: OpenedMessage['sevenBit']): TestJob => {
    const opened = { ok: true as const, size: 3, read: () => [Buffer.from('\xfc\r\n')], ...(sevenBit && { sevenBit }) };
    return testJob({ eightBitBody: true, open: async () => opened });
  };
  const converted = { ok: true as const, converted: true as const, size: bytes.length, read: () => [bytes] };
  const [done = []] = await delivery.run(
    smtpHop(sink.port),
    job(async () => converted),
  );
  assert.deepEqual(brief(done), ['delivered 250 2.0.0']);
  assert.equal(done[0]?.outcome.converted, true);
  assert.equal(sink.messages[0]?.data.toString(), bytes.toString());
  assert.deepEqual(sink.messages[0]?.from.parameters, [`SIZE=${bytes.length}`]);
  const [large = []] = await delivery.run(
    smtpHop(sink.port),
    job(async () => ({ ...converted, size: 2000 })),
  );
  assert.deepEqual(brief(large), ['failed 552 5.3.4'], 'it has grown beyond what the peer takes');
  const [refused = []] = await delivery.run(
    smtpHop(sink.port),
    job(async () => 'that would break a signature in it'),
  );
  assert.match(refused[0]?.outcome.reply.text ?? '', /8BITMIME, and it is not converted: that would break a signature/);
  const wait = { ok: false as const, state: 'deferred' as const, reply: reply(451, '4.7.5', 'no key'), local: true };
  const [waits = []] = await delivery.run(
    smtpHop(sink.port),
    job(async () => wait),
  );
  assert.deepEqual(brief(waits), ['deferred 451 4.7.5 local']);
});

test('an internationalized address goes out in UTF-8', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  await delivery.run(smtpHop(sink.port), testJob({ smtpUtf8: true, recipients: ['bücher@x.test'] }));
  assert.equal(sink.messages[0]?.recipients[0]?.address, 'bücher@x.test');
  assert.deepEqual(sink.messages[0]?.from.parameters.slice(1), ['BODY=8BITMIME', 'SMTPUTF8']);
});

test('a peer that knows only HELO is spoken to without extensions', async () => {
  await using sink = await SmtpSink.start({ extensions: null });
  await using delivery = testDelivery();
  const [[result] = []] = await delivery.run(smtpHop(sink.port), testJob({ ret: 'FULL' }));
  assert.equal(result?.state, 'delivered');
  assert.equal(result.notice, 'relayed');
  assert.deepEqual(sink.messages[0]?.from.parameters, []);
});

test('a reply lost after the final dot is logged as a possible duplicate, one that came is not', async () => {
  for (const [action, duplicates] of [
    ['close', 1],
    ['hang', 1],
    [{ reply: '421 4.3.2 down', close: true }, 0],
    ['451 4.3.0 no', 0],
  ] as const) {
    const { log, lines } = logLines();
    await using sink = await sinkFor({ MESSAGE: action });
    await using delivery = testDelivery({ settings: testSettings(QUICK), log });
    const job = testJob();
    const [results = []] = await delivery.run(smtpHop(sink.port), job);
    assert.equal(results[0]?.state, 'deferred');
    const found = lines().filter(({ msg }) => msg.startsWith('possible duplicate'));
    assert.equal(found.length, duplicates, JSON.stringify(action));
    if (duplicates > 0) assert.equal(found[0]?.['queueId'], job.queueId);
  }
});

test('a message that cannot be read to its end is never ended with a dot', async () => {
  const { log, lines } = logLines();
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ log });
  async function* damaged() {
    yield Buffer.from('Subject: x\r\n\r\nhalf of it\r\n');
    throw new Error('digest does not match');
  }
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ message: damaged }));
  assert.deepEqual(brief(results), ['deferred 451 4.3.0 local']);
  assert.equal(sink.messages.length, 0);
  assert.ok(lines().some(({ msg, error }) => msg.includes('cannot be read') && String(error).includes('digest')));
  const [again = []] = await delivery.run(smtpHop(sink.port), testJob());
  assert.deepEqual(brief(again), ['delivered 250 2.0.0']);
});

test('an attempt that ends because another node may have the mail is no damage of the message', async () => {
  const { log, lines } = logLines();
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ log });
  async function* takenOver() {
    yield Buffer.from('Subject: x\r\n\r\nhalf of it\r\n');
    throw new SealpostError('not-ours', 'node edge-2 may deliver it');
  }
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ message: takenOver }));
  assert.deepEqual(brief(results), ['deferred 451 4.3.2 local']);
  assert.equal(results[0]?.outcome.reply.text, 'node edge-2 may deliver it');
  assert.equal(sink.messages.length, 0);
  const found = lines().filter(({ error }) => String(error).includes('edge-2'));
  assert.deepEqual(
    found.map(({ level, msg }) => [level, msg]),
    [['info', 'sending a message was broken off: another node may deliver it by now']],
  );
});

test('a NUL in the store does not leave', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ message: 'a\r\n\0.\r\nb\r\n' }));
  assert.deepEqual(brief(results), ['deferred 451 4.3.0 local']);
  assert.equal(sink.messages.length, 0);
});

test('a large message arrives whole', async () => {
  await using sink = await SmtpSink.start();
  // Taking it in may take its time.
  await using delivery = testDelivery({ settings: testSettings({ delivery: { timeout: { data: '30s' } } }) });
  const line = Buffer.from(`.${'x'.repeat(97)}\r\n`.repeat(600));
  async function* source() {
    for (let i = 0; i < 400; i++) yield line;
  }
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob({ message: source, size: line.length * 400 }));
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.equal(sink.messages[0]?.data.length, line.length * 400);
  assert.ok(sink.messages[0]?.data.subarray(0, line.length).equals(line));
});

test('LMTP: every accepted recipient gets its own reply to the message', async () => {
  await using sink = await sinkFor(
    { 'RCPT b@x.test': '550 5.1.1 nobody', 'MESSAGE d@x.test': '452 4.2.2 full', 'MESSAGE e@x.test': '550 5.7.1 no' },
    { lmtp: true, extensions: ['PIPELINING', '8BITMIME'] },
  );
  await using delivery = testDelivery();
  const job = testJob({ recipients: ['b@x.test', 'c@x.test', 'd@x.test', 'e@x.test', 'f@x.test'] });
  const [results = []] = await delivery.run(smtpHop(sink.port, { kind: 'lmtp' }), job);
  assert.deepEqual(brief(results), [
    'failed 550 5.1.1',
    'delivered 250 2.0.0',
    'deferred 452 4.2.2',
    'failed 550 5.7.1',
    'delivered 250 2.0.0',
  ]);
  assert.equal(results.find(({ index }) => index === 1)?.notice, 'final');
  assert.equal(sink.sessions[0]?.lines[0], 'LHLO edge.test');
});

test('LMTP: a peer that closes between its replies leaves the others deferred', async () => {
  await using sink = await sinkFor({ 'MESSAGE c@x.test': 'close' }, { lmtp: true });
  await using delivery = testDelivery();
  const job = testJob({ recipients: ['b@x.test', 'c@x.test', 'd@x.test'] });
  const [results = []] = await delivery.run(smtpHop(sink.port, { kind: 'lmtp' }), job);
  assert.deepEqual(brief(results), ['delivered 250 2.0.0', 'deferred 451 4.4.2', 'deferred 451 4.4.2']);
});

test('LMTP: a connection to a peer that wants a message for no recipient is closed', async () => {
  await using sink = await sinkFor({ RCPT: '550 5.1.1 nobody' }, { lmtp: true });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port, { kind: 'lmtp' }), testJob());
  assert.deepEqual(brief(results), ['failed 550 5.1.1']);
  assert.equal(sink.messages.length, 0);
});

test('TLS is named in the outcome', async () => {
  const tls = await (await createAuthority()).issue();
  await using sink = await SmtpSink.start({ tls });
  await using delivery = testDelivery();
  const hop: NextHop = smtpHop(sink.port, { tls: 'required' });
  const [[result] = []] = await delivery.run(hop, testJob());
  assert.deepEqual(result?.outcome.tls, { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' });
  assert.equal(sink.messages[0]?.data.toString(), MESSAGE);
});

/** Answers to the message that all mean 250, in unusual forms; the peer does nothing more, or closes. */
const ACCEPTED: [name: string, bytes: string, closes: boolean][] = [
  ['a long line', `250 2.0.0 ${'x'.repeat(3000)}\r\n`, false],
  ['a line of 100 KB', `250 2.0.0 ${'x'.repeat(100_000)}\r\n`, false],
  ['a line that never ends', `250 2.0.0 ${'x'.repeat(100_000)}`, false],
  ['500 lines', `${'250-2.0.0 x\r\n'.repeat(499)}250 2.0.0 y\r\n`, false],
  ['lines that never end', '250-2.0.0 x\r\n'.repeat(20_000), false],
  ['two codes', '251-2.0.0 one\r\n250 2.0.0 two\r\n', false],
  ['a line without its end, and closes', '250 2.0.0 taken', true],
  ['a line without its end, and is silent', '250 2.0.0 taken', false],
  ['the first of several lines, and closes', '250-2.0.0 taken\r\n', true],
];
for (const [name, bytes, closes] of ACCEPTED) {
  test(`a message that was answered with 250 in ${name} is delivered once`, async () => {
    let messages = 0;
    await using peer = await rawPeer((socket, line) => {
      if (line.startsWith('EHLO')) socket.write('250 raw\r\n');
      else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n');
      else if (line === 'DATA') socket.write('354 go\r\n');
      else if (line === '.') {
        messages++;
        socket.write(bytes);
        if (closes) socket.end();
      }
    });
    const { log, lines } = logLines();
    await using delivery = testDelivery({ settings: testSettings(PATIENT), log });
    const [results = []] = await delivery.run(smtpHop(peer.port), testJob({ recipients: ['b@x.test', 'c@x.test'] }));
    assert.deepEqual(brief(results), ['delivered 250 2.0.0', 'delivered 250 2.0.0']);
    assert.ok((results[0]?.outcome.reply.text.length ?? 0) <= 1001);
    assert.equal(messages, 1);
    assert.ok(!lines().some(({ msg }) => msg.startsWith('possible duplicate')));
  });
}

test('a refusal of a recipient in a line of 100 KB is permanent, and its text is cut', async () => {
  await using sink = await sinkFor({ RCPT: `550 5.7.1 ${'x'.repeat(100_000)}` });
  await using delivery = testDelivery();
  const [results = []] = await delivery.run(smtpHop(sink.port), testJob());
  assert.deepEqual(brief(results), ['failed 550 5.7.1']);
  assert.equal(results[0]?.outcome.reply.text.length, 1001);
});
