import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** A client that has heard 354. */
async function atData(port: number): Promise<Dialogue> {
  const client = await Dialogue.greeted(port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>');
  assert.match(await client.say('DATA'), /^354 /);
  return client;
}

const SECOND =
  'MAIL FROM:<smuggler@evil.test>\r\nRCPT TO:<victim@d.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n';
const BARE_LF = '550 5.6.11 Message contains a bare LF: lines must end with CRLF';
const BARE_CR = '550 5.6.11 Message contains a bare CR: lines must end with CRLF';
const NUL = '550 5.6.0 Message contains a NUL octet';

/** What other servers have taken for the end of a message, and our one reply to the whole. */
const FALSE_ENDS: [name: string, end: string, reply: string][] = [
  ['LF.LF', '\n.\n', BARE_LF],
  ['CRLF.LF', '\r\n.\n', BARE_LF],
  ['LF.CRLF', '\n.\r\n', BARE_LF],
  ['CR.CR', '\r.\r', BARE_CR],
  ['CRLF.CR', '\r\n.\r', BARE_CR],
  ['CR.CRLF', '\r.\r\n', BARE_CR],
  ['CR.LF', '\r.\n', BARE_CR],
  ['LF.CR', '\n.\r', BARE_LF],
  ['LF.CR LF CR', '\n.\r\n\r', BARE_LF],
  ['CRLF.CR CRLF', '\r\n.\r\r\n', BARE_CR],
  ['CRLF NUL.CRLF', '\r\n\0.\r\n', NUL],
  ['CRLF.NUL CRLF', '\r\n.\0\r\n', NUL],
  ['CRLF..CRLF', '\r\n..\r\n', '250 2.0.0 Queued as Q1'],
  ['CRLF.space CRLF', '\r\n. \r\n', '250 2.0.0 Queued as Q1'],
  ['CRLF space.CRLF', '\r\n .\r\n', '250 2.0.0 Queued as Q1'],
];

for (const [name, end, reply] of FALSE_ENDS) {
  test(`one message in is one message out: ${name}, in one segment and byte by byte`, async () => {
    // The smuggled commands are the text of the first message; their own end is its end.
    const bytes = Buffer.from(`Subject: x\r\n\r\ntext${end}${SECOND}`, 'latin1');
    for (const size of [bytes.length, 1, 3]) {
      await using server = await startListener();
      using client = await atData(server.port);
      for (let at = 0; at < bytes.length; at += size) {
        client.write(bytes.subarray(at, at + size));
        // Lets the segment leave before the next one.
        if (size === 1) await new Promise(setImmediate);
      }
      assert.equal(await client.reply(), reply);
      if (reply.startsWith('250')) assert.equal(await client.say('NOOP'), '250 2.0.0 OK', 'the session is in step');
      else assert.equal(await client.rest(), '', 'exactly one reply, and the session is over');
      assert.equal(server.router.messages.length, reply.startsWith('250') ? 1 : 0);
      assert.equal(server.router.open, 0, 'nothing is left at the router');
      assert.ok(!server.policy.calls.some((c) => JSON.stringify(c.request).includes('"smuggler@evil.test"')));
    }
  });
}

test('SMTPNonStandardLineTermination: what is pipelined behind a message with a bare CR, a bare LF or a NUL is not run', async () => {
  for (const text of ['a\rb', 'a\nb', 'a\0b']) {
    await using server = await startListener();
    using client = await atData(server.port);
    client.write(Buffer.from(`Subject: x\r\n\r\n${text}\r\n.\r\nMAIL FROM:<smuggler@evil.test>\r\nNOOP\r\n`));
    assert.match(await client.rest(), /^550 5\.6\.\d+ [^\r]*\r\n$/);
    assert.ok(!server.policy.calls.some((c) => JSON.stringify(c.request).includes('smuggler')));
  }
});

test('a message of one dot line is empty', async () => {
  await using server = await startListener();
  using client = await atData(server.port);
  assert.equal(await client.say('.'), '250 2.0.0 Queued as Q1');
  assert.deepEqual(server.router.messages[0]?.facts, {
    headerBytes: 0,
    size: 0,
    bodyHash: createHash('sha256').digest('base64'),
    eightBitBody: false,
    eightBitHeader: false,
  });
});

const FACTS: [name: string, text: string, headerBytes: number, eightBitHeader: boolean, eightBitBody: boolean][] = [
  ['no empty line: all is header', 'Subject: x\r\n', 12, false, false],
  ['begins with the empty line', '\r\nSubject: x\r\n', 2, false, false],
  ['8-bit body', 'A: b\r\n\r\n\xfc\r\n', 8, false, true],
  ['8-bit header', 'A: \xfc\r\n\r\nb\r\n', 8, true, false],
  ['several empty lines', 'A: b\r\n\r\n\r\n\r\nc\r\n', 8, false, false],
];

for (const [name, text, headerBytes, eightBitHeader, eightBitBody] of FACTS) {
  test(`facts of a message: ${name}`, async () => {
    for (const size of [1000, 1]) {
      await using server = await startListener();
      using client = await atData(server.port);
      const bytes = Buffer.from(`${text}.\r\n`, 'latin1');
      for (let at = 0; at < bytes.length; at += size) {
        client.write(bytes.subarray(at, at + size));
        if (size === 1) await new Promise(setImmediate);
      }
      assert.match(await client.reply(), /^250/);
      const [stored] = server.router.messages;
      const { bodyHash: _, ...facts } = stored?.facts ?? {};
      assert.deepEqual(facts, { headerBytes, size: text.length, eightBitBody, eightBitHeader });
      const header = server.policy.calls.find((c) => c.operation === 'message-check')?.options?.bytes;
      assert.equal(Buffer.from(header ?? []).toString('latin1'), text.slice(0, headerBytes));
      assert.equal(stored?.text, text);
    }
  });
}

test('a message of many chunks arrives whole, its header too', async () => {
  await using server = await startListener();
  using client = await atData(server.port);
  const header = `Subject: ${'x'.repeat(100_000)}\r\n\r\n`;
  const body = `${'y'.repeat(998)}\r\n`.repeat(700);
  client.write(`${header}${body}.\r\n`);
  assert.equal(await client.reply(), '250 2.0.0 Queued as Q1');
  const [stored] = server.router.messages;
  assert.equal(stored?.text, header + body);
  assert.equal(stored?.chunks, Math.ceil((header.length + body.length) / CHUNK_BYTES));
  assert.equal(stored?.facts.headerBytes, header.length);
  assert.equal(stored?.facts.bodyHash, createHash('sha256').update(body).digest('base64'));
  const sent = server.policy.calls.find((c) => c.operation === 'message-check')?.options?.bytes;
  assert.equal(Buffer.from(sent ?? []).toString(), header, 'the header is whole although it spans chunks');
});

test('sizes around a chunk cost no more calls than they must', async () => {
  for (const [size, chunks] of [
    [CHUNK_BYTES - 1, 1],
    [CHUNK_BYTES, 1],
    [CHUNK_BYTES + 1, 2],
    [2 * CHUNK_BYTES, 2],
  ] as const) {
    await using server = await startListener();
    using client = await atData(server.port);
    client.write(`S:${'x'.repeat(size - 4)}\r\n.\r\n`);
    assert.match(await client.reply(), /^250/);
    assert.equal(server.router.messages[0]?.chunks, chunks, `${size} bytes`);
    assert.equal(server.router.messages[0]?.text.length, size);
  }
});

test('while the router does not answer, the client is not read', async () => {
  await using server = await startListener();
  let release: (() => void) | undefined;
  server.router.gate = new Promise((resolve) => {
    release = resolve;
  });
  using client = await atData(server.port);
  const line = `${'z'.repeat(998)}\r\n`;
  const block = Buffer.from(line.repeat(1000));
  client.write('Subject: x\r\n\r\n');
  for (let i = 0; i < 40; i++) client.write(block);
  client.write('.\r\n');
  await waitFor(() => server.router.mostWaiting === 2, { what: 'two chunks at the router' });
  // The kernel's buffers hold some of the 40 MB; the rest stays with the client while nothing is answered.
  let left = -1;
  await waitFor(
    () => {
      const still = client.socket.writableLength === left;
      left = client.socket.writableLength;
      return still && left > 0;
    },
    { what: 'the client to stand still' },
  );
  assert.ok(left > 20_000_000, `${left} bytes wait`);
  release?.();
  assert.equal(await client.reply(), '250 2.0.0 Queued as Q1');
  assert.equal(server.router.messages[0]?.text.length, 14 + 40 * block.length);
  assert.equal(server.router.mostWaiting, 2);
});

const ROUTER_TROUBLE: [
  operation: 'transfer-open' | 'transfer-append' | 'transfer-commit',
  code: string,
  reply: RegExp,
][] = [
  ['transfer-open', 'full', /^452 4\.3\.1 Insufficient system storage/],
  ['transfer-open', 'not-accepting', /^451 4\.3\.0 Queue does not take mail/],
  ['transfer-open', 'unavailable', /^451 4\.3\.0 Queue does not take mail/],
  ['transfer-open', 'timeout', /^451 4\.3\.0 Queue is busy/],
  ['transfer-open', 'busy', /^451 4\.3\.0 Queue is busy/],
  ['transfer-open', 'internal', /^451 4\.3\.0 /],
  ['transfer-append', 'full', /^452 4\.3\.1 /],
  ['transfer-append', 'unknown-transfer', /^451 4\.3\.0 /],
  ['transfer-commit', 'full', /^452 4\.3\.1 /],
  ['transfer-commit', 'timeout', /^451 4\.3\.0 /],
  ['transfer-commit', 'too-large', /^451 4\.3\.0 /],
];

for (const [operation, code, reply] of ROUTER_TROUBLE) {
  test(`router trouble: ${operation} fails with ${code}`, async () => {
    await using server = await startListener();
    server.router.fail = { [operation]: code };
    using client = await Dialogue.greeted(server.port);
    await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>');
    if (operation === 'transfer-open') {
      assert.match(await client.say('DATA'), reply);
    } else {
      assert.match(await client.say('DATA'), /^354/);
      client.write(`Subject: x\r\n\r\n${`${'x'.repeat(998)}\r\n`.repeat(300)}.\r\n`);
      assert.match(await client.reply(), reply);
      assert.equal(server.router.open, 0, 'the transfer was given up');
    }
    assert.equal(server.router.messages.length, 0);
    // The session goes on, and once the trouble is over the client may try again.
    server.router.fail = {};
    await client.say('RSET');
    await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
    assert.match(await client.say('Subject: x\r\n\r\n.'), /^250 2\.0\.0 Queued/);
  });
}

test('the reply of policy about the message is sent as given, and nothing is kept', async () => {
  await using server = await startListener({
    policy: {
      'message-check': async () => ({
        action: 'reject',
        reply: { code: 550, enhanced: '5.7.26', text: 'DMARC' },
        why: [],
      }),
    },
  });
  using client = await atData(server.port);
  assert.equal(await client.say('Subject: x\r\n\r\n.'), '550 5.7.26 DMARC');
  assert.deepEqual(server.router.aborted, ['T1']);
});

test('policy that fails at the message is a temporary refusal', async () => {
  await using server = await startListener({
    policy: { 'message-check': async () => Promise.reject(new Error('lost')) },
  });
  using client = await atData(server.port);
  assert.match(await client.say('Subject: x\r\n\r\n.'), /^451 4\.3\.0 /);
  assert.deepEqual(server.router.aborted, ['T1']);
});

test('a message too large is refused at its end, given up at once, and the session goes on', async () => {
  await using server = await startListener({ config: { limits: { 'message-size': '200KB' } } });
  using client = await atData(server.port);
  const line = `${'x'.repeat(998)}\r\n`;
  client.write(line.repeat(250));
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
  client.write(`${line.repeat(2000)}.\r\nNOOP\r\n`);
  assert.equal(await client.reply(), '552 5.3.4 Message is larger than this server takes (204800 bytes)');
  assert.equal(await client.reply(), '250 2.0.0 OK');
});

test('a message exactly as large as the limit', async () => {
  await using server = await startListener({ config: { limits: { 'message-size': '64KB' } } });
  using client = await atData(server.port);
  // Transparency dots are no part of the size (RFC 1870 §2).
  client.write(`..S:${'x'.repeat(65_531)}\r\n.\r\n`);
  assert.match(await client.reply(), /^250/);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  client.write(`S:${'x'.repeat(65_533)}\r\n.\r\n`);
  assert.match(await client.reply(), /^552 5\.3\.4/);
});

test('a header too large is refused', async () => {
  await using server = await startListener({ config: { limits: { 'header-size': '2KB' } } });
  using client = await atData(server.port);
  client.write(`${'A: x\r\n'.repeat(1000)}\r\nbody\r\n.\r\n`);
  assert.equal(await client.reply(), '552 5.3.4 Message header is larger than this server takes');
  assert.equal(server.router.open, 0);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  client.write(`A: x\r\n\r\n${'body\r\n'.repeat(1000)}.\r\n`);
  assert.match(await client.reply(), /^250/);
});

test('a client that vanishes in the middle of a message leaves nothing behind', async () => {
  await using server = await startListener();
  {
    using client = await atData(server.port);
    client.write('Subject: x\r\n\r\nhalf');
    await waitFor(async () => (await server.status())[0]?.sessions === 1, { what: 'the session' });
  }
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
  await waitFor(() => server.log.some((l) => l.msg === 'client left in the middle of a message'), {
    what: 'a log line',
  });
});

test('a client that vanishes while a router is asked leaves no transfer open', async () => {
  await using server = await startListener();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.router.opening = promise;
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>');
  client.write('DATA\r\n');
  await waitFor(() => server.router.open === 1, { what: 'a router to be asked' });
  client.socket.resetAndDestroy();
  await waitFor(async () => (await server.status())[0]?.sessions === 0, { what: 'the session to end' });
  resolve();
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
});

test('a client that ends its side in the middle of a message is not answered with 250', async () => {
  await using server = await startListener();
  using client = await atData(server.port);
  client.socket.end('Subject: x\r\n\r\n.\r');
  assert.equal(await client.rest(), '');
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
});

test('a message that is complete is kept although its client is gone', async () => {
  let decide: (() => void) | undefined;
  const wait = new Promise<void>((resolve) => {
    decide = resolve;
  });
  await using server = await startListener({
    policy: {
      'message-check': async () => {
        await wait;
        return { action: 'accept', prepend: [], originating: true, junk: false, why: [] };
      },
    },
  });
  {
    using client = await atData(server.port);
    client.write('Subject: x\r\n\r\n.\r\n');
    await waitFor(() => server.policy.calls.some((c) => c.operation === 'message-check'), {
      what: 'policy to be asked',
    });
    client.socket.resetAndDestroy();
  }
  await waitFor(() => server.log.some((l) => l.msg === 'session ended'), { what: 'the session to end' });
  decide?.();
  await waitFor(() => server.router.messages.length === 1, { what: 'the message' });
  await waitFor(() => server.log.some((l) => l.msg === 'client left before the reply to its message'), {
    what: 'a log line',
  });
});

test('the log names every message by session, queue id and trace', async () => {
  await using server = await startListener();
  using client = await atData(server.port);
  await client.say('Subject: secret\r\n\r\nsecret body\r\n.');
  const line = server.log.find((l) => l.msg === 'message accepted');
  const [stored] = server.router.messages;
  assert.equal(line?.['queueId'], 'Q1');
  assert.equal(line?.['trace'], stored?.trace);
  assert.equal(line?.['session'], stored?.origin.session);
  assert.equal(line?.['peer'], '127.0.0.1');
  assert.ok(!JSON.stringify(server.log).includes('secret'), 'no text of a message is logged');
});

test('a first line that is not a field leaves header, body hash and size in step', async () => {
  for (const [text, stored, headerBytes] of [
    ['From www-data Sat Nov 28 10:00:00 2026\r\nSubject: x\r\n\r\nhi\r\n', 'Subject: x\r\n\r\nhi\r\n', 14],
    ['hello: there is a colon\r\n\r\nhi\r\n', 'hello: there is a colon\r\n\r\nhi\r\n', 27],
    ['hello there\r\nhi\r\n', '\r\nhello there\r\nhi\r\n', 2],
  ] as const) {
    await using server = await startListener();
    using client = await atData(server.port);
    assert.match(await client.say(`${text}.`), /^250/);
    const [message] = server.router.messages;
    assert.equal(message?.text, stored);
    assert.equal(message?.facts.size, stored.length);
    assert.equal(message?.facts.headerBytes, headerBytes);
    const body = stored.slice(headerBytes);
    assert.equal(message?.facts.bodyHash, createHash('sha256').update(body).digest('base64'));
  }
});
