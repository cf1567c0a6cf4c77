import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterEntry } from '#cluster/config/schema/filters/entry.ts';
import type { Filter, FilteredMail, FilterVerdict } from '#services/listener/filters/filter.ts';
import { openMilter } from '#services/listener/filters/milter/milter.ts';
import { FakeMilter, type MilterAct, milterAgreement, milterPacket } from '#test/kit/filters/fake-milter.ts';
import { waitFor } from '#test/kit/wait.ts';

const MAIL: FilteredMail = {
  facts: {
    session: 's',
    listener: 'mx',
    kind: 'relay',
    client: { address: '192.0.2.7', name: 'client.example', helo: 'helo.example' },
    tls: { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
    scope: 'external',
  },
  hostname: 'mx1.example.com',
  queueId: 'Q1',
  reversePath: 'from@a.example',
  recipients: ['one@b.example', 'two@b.example'],
};
const HEADER = 'From: <from@a.example>\r\nSubject:two\r\n\tlines \r\nX-Odd : \xe9\r\n\r\n';
const MESSAGE = Buffer.from(`${HEADER}A body.\r\n`, 'latin1');

const open = (url: string, mail = MAIL): Filter =>
  openMilter(filterEntry.parse({ url, name: 'm', type: 'milter' }), mail);

/** The verdict about a message that is written in pieces of this size. */
async function verdictOn(milter: FakeMilter, message = MESSAGE, piece = message.length): Promise<FilterVerdict> {
  const filter = open(milter.url);
  for (let at = 0; at < message.length; at += piece) {
    filter.write(message.subarray(at, at + piece));
    if (!filter.ready)
      await new Promise<void>((resolve) => {
        filter.onReady = resolve;
      });
  }
  return filter.finish();
}

/** A milter that does this at one command, once, and continues at the others. */
function at(code: string, ...packets: string[]): MilterAct {
  let done = false;
  return (command) => {
    if (done || command.code !== code) return undefined;
    done = true;
    return packets;
  };
}

test('a milter hears a whole session, with macros before the commands', async () => {
  await using milter = await FakeMilter.start(undefined, { steps: 0x100000 });
  const verdict = await verdictOn(milter);
  assert.deepEqual(verdict, { action: 'accept', junk: false, changes: [], said: 'accept' });
  await waitFor(() => milter.letters.endsWith('Q'), { what: 'the goodbye' });
  assert.equal(milter.letters, 'OCHMRRTLLLNBEQ');
  assert.deepEqual(milter.data('C'), ['client.example|4||192.0.2.7|']);
  assert.deepEqual(milter.data('H'), ['helo.example|']);
  assert.deepEqual(milter.data('M'), ['<from@a.example>|']);
  assert.deepEqual(milter.data('R'), ['<one@b.example>|', '<two@b.example>|']);
  assert.deepEqual(milter.data('L'), ['From| <from@a.example>|', 'Subject|two\n\tlines |', 'X-Odd| \xe9|']);
  assert.deepEqual(milter.data('B'), ['A body.\r\n']);
  assert.match(milter.data('D')[0] ?? '', /^Cj\|mx1\.example\.com\|.*\{client_addr\}\|192\.0\.2\.7\|/);
  assert.ok(milter.data('D').includes('Mi|Q1|{mail_addr}|from@a.example|'));
});

test('the user of a session is told as a log-in', async () => {
  await using milter = await FakeMilter.start();
  const mail: FilteredMail = {
    ...MAIL,
    facts: { ...MAIL.facts, user: 'anna', client: { ...MAIL.facts.client, address: '2001:db8::1', name: null } },
  };
  const filter = open(milter.url, mail);
  filter.write(MESSAGE);
  await filter.finish();
  assert.ok(milter.data('D').some((data) => data.startsWith('M') && data.includes('{auth_authen}|anna|')));
  assert.deepEqual(milter.data('C'), ['[2001:db8::1]|6||2001:db8::1|']);
  // Without the agreement the one space after the colon stays away.
  assert.equal(milter.data('L')[0], 'From|<from@a.example>|');
});

test('what a milter does without is not sent, and what it does not answer is not waited for', async () => {
  await using omitting = await FakeMilter.start(undefined, { steps: 0x27f });
  await verdictOn(omitting);
  await waitFor(() => omitting.letters === 'OEQ', { what: 'the end of the session' });
  await using silent = await FakeMilter.start(undefined, { steps: 0xdf080 });
  assert.equal((await verdictOn(silent)).action, 'accept');
  await waitFor(() => silent.letters === 'OCHMRRTLLLNBEQ', { what: 'the end of the session' });
});

for (const [what, act, expected] of [
  ['rejects', at('M', 'r'), { action: 'reject', code: 550, enhanced: '5.7.1' }],
  ['defers', at('N', 't'), { action: 'defer', code: 451, enhanced: '4.7.1' }],
  [
    'refuses one recipient',
    at('R', 'c', 'y550 5.1.1 no such user\0'),
    { action: 'reject', code: 550, enhanced: '5.1.1' },
  ],
  [
    'chooses a reply of lines',
    at('E', 'y451-4.2.1 one\r\n451 4.2.1 two\0'),
    { action: 'defer', code: 451, enhanced: '4.2.1' },
  ],
  [
    'chooses a reply without an enhanced code',
    at('E', 'y554 no\0'),
    { action: 'reject', code: 554, enhanced: '5.7.1' },
  ],
  [
    'chooses an enhanced code of another class',
    at('E', 'y550 4.7.1 no\0'),
    { action: 'reject', code: 550, enhanced: '5.7.1' },
  ],
  ['would hang up on the client', at('C', 'f'), { action: 'defer', code: 451, enhanced: '4.7.1' }],
] as const) {
  test(`a milter ${what}`, async () => {
    // The first R of the recipients gets two answers in one row: the second is for the other one.
    await using milter = await FakeMilter.start(act);
    const verdict = await verdictOn(milter);
    assert.ok(verdict.action === 'reject' || verdict.action === 'defer');
    const { code, enhanced, text } = verdict.reply;
    assert.deepEqual({ action: verdict.action, code, enhanced }, expected);
    assert.match(text, /^[\x20-\x7e]+$/);
  });
}

test('words of a milter in a reply are one line of ASCII', async () => {
  await using milter = await FakeMilter.start(
    at('E', `y550-5.7.1 caf\xc3\xa9\x1b[2J\r\n550 5.7.1 ${'x'.repeat(2000)}\0`),
  );
  const verdict = await verdictOn(milter);
  assert.ok(verdict.action === 'reject');
  assert.match(verdict.reply.text, /^caf\? \[2J x+\?$/);
  assert.ok(verdict.reply.text.length < 500);
});

test('discard, quarantine and changes of the header', async () => {
  await using discarding = await FakeMilter.start(at('N', 'd'));
  assert.deepEqual(await verdictOn(discarding), { action: 'discard', said: 'discard' });
  const three = '\0\0\0\x03';
  await using milter = await FakeMilter.start(
    at(
      'E',
      'p',
      'hX-Found\0\xc3\xa9t\xc3\xa9\0',
      'i\0\0\0\x01DKIM-Signature\0v=1;\n\tb=x\0',
      `m${three}Received\0new\0`,
      'm\0\0\0\0X-Odd\0\0',
      'qlooks odd\0',
      'a',
    ),
    { actions: 0x31 },
  );
  assert.deepEqual(await verdictOn(milter), {
    action: 'accept',
    junk: false,
    said: 'quarantine: looks odd',
    hold: true,
    changes: [
      { kind: 'add', name: 'X-Found', value: 'été' },
      { kind: 'add', name: 'DKIM-Signature', value: 'v=1;\n\tb=x' },
      { kind: 'replace', name: 'Received', occurrence: 3, value: 'new' },
      { kind: 'remove', name: 'X-Odd', occurrence: 1 },
    ],
  });
});

test('a body goes in chunks of a packet, however it comes, and no more of it after a skip', async () => {
  const body = Buffer.alloc(300_000, 'The quick brown fox.\r\n');
  const message = Buffer.concat([Buffer.from(HEADER, 'latin1'), body]);
  for (const piece of [7, 4096, 1_000_000]) {
    await using milter = await FakeMilter.start();
    await verdictOn(milter, message.subarray(0, piece === 7 ? 5000 : undefined), piece);
    const came = milter.data('B');
    assert.ok(came.every((data) => data.length <= 65_535));
    assert.equal(came.join(''), message.toString('latin1', HEADER.length, piece === 7 ? 5000 : undefined));
  }
  await using skipping = await FakeMilter.start(at('B', 's'), { steps: 0x400 });
  assert.equal((await verdictOn(skipping, message, 4096)).action, 'accept');
  assert.equal(skipping.data('B').length, 1);
});

test('a milter that reads nothing stops the writer, and what it did is over with the abort', async () => {
  await using milter = await FakeMilter.start(at('O'));
  const filter = open(milter.url);
  filter.write(Buffer.from(HEADER, 'latin1'));
  let written = 0;
  for (; filter.ready && written < 1000; written++) filter.write(Buffer.alloc(10_000, 'x'));
  assert.ok(written < 20, `took ${written} pieces`);
  const verdict = filter.finish();
  filter.abort();
  assert.ok(filter.ready);
  await assert.rejects(verdict, { code: 'filter-failed' });
  filter.abort();
  filter.write(MESSAGE);
});

const agreement = milterAgreement(0, 0);
for (const [what, act, error] of [
  ['that closes', (_: unknown, socket) => void socket.destroy(), /closed|ECONNRESET/],
  ['that is a web server', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /not the milter protocol/],
  ['that answers another command', () => ['c'], /not a milter/],
  ['of another version', () => milterAgreement(0, 0, 7), /version 7/],
  ['that wants what was not offered', () => milterAgreement(0x100, 0), /not offered/],
  ['that asks for a variant that was not offered', () => milterAgreement(0, 0x800), /not offered/],
  [
    'with a packet without end',
    ({ code }) => (code === 'O' ? agreement : Buffer.from('\xff\xff\xff\xffc', 'latin1')),
    /4294967295 bytes/,
  ],
  ['with an empty packet', ({ code }) => (code === 'O' ? agreement : Buffer.alloc(4)), /0 bytes/],
  ['with an unknown answer', at('C', 'Z'), /"Z"/],
  ['that changes the header too soon', at('H', 'hX\0y\0'), /only a verdict/],
  ['that replaces the body', at('E', 'bnew body', 'c'), /replace the body/],
  ['that deletes a recipient', at('E', '-<one@b.example>\0', 'c'), /delete a recipient/],
  ['with a change cut short', at('E', 'm\0\0'), /cut short/],
  ['with a string too many', at('E', 'hX\0y\0z\0'), /strings/],
  ['with a string without an end', at('E', 'hX\0y'), /strings/],
  ['with a reply that is none', at('E', 'y250 fine\0'), /reply that is none/],
  ['that skips without leave', at('B', 's'), /only a verdict/],
  ['that changes without end', at('E', ...Array.from({ length: 600 }, () => 'hX\0y\0')), /more changes/],
  [
    'that adds large fields',
    at('E', ...Array.from({ length: 20 }, () => `hX\0${'y'.repeat(100_000)}\0`)),
    /more changes/,
  ],
  [
    'that goes away before its last word',
    ({ code }, socket) => (code === 'E' ? void socket.end() : undefined),
    /closed/,
  ],
] satisfies [string, MilterAct, RegExp][]) {
  test(`no verdict of a milter ${what}`, async () => {
    await using milter = await FakeMilter.start(act);
    await assert.rejects(verdictOn(milter), { code: 'filter-failed', message: error });
  });
}

test('a header that the protocol cannot carry is shown to no milter', async () => {
  await using milter = await FakeMilter.start();
  const long = Buffer.from(`X: ${'y'.repeat(70_000)}\r\n\r\n`);
  await assert.rejects(verdictOn(milter, long), { code: 'filter-failed', message: /longer than the milter protocol/ });
  const many = Buffer.from(`${'X: y\r\n'.repeat(5000)}\r\n`);
  await assert.rejects(verdictOn(milter, many), { code: 'filter-failed', message: /5000 fields/ });
});

test('a milter that is away, and one that says a packet byte by byte', async () => {
  const url = await FakeMilter.start().then(async (milter) => {
    const { url } = milter;
    await milter[Symbol.asyncDispose]();
    return url;
  });
  const away = open(url);
  away.write(MESSAGE);
  await assert.rejects(away.finish(), { code: 'filter-failed', message: /ECONNREFUSED/ });
  await using slow = await FakeMilter.start(({ code }, socket) => {
    if (code !== 'E') return undefined;
    void (async () => {
      for (const byte of milterPacket('c')) {
        socket.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    return [];
  });
  assert.equal((await verdictOn(slow)).action, 'accept');
});
