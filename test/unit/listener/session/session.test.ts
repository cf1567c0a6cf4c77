import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { SealpostError } from '#shared/errors.ts';
import { Dialogue, play, startListener } from '#test/unit/listener/harness.ts';

test('a message comes in, and what is known of it goes to policy and router', async () => {
  await using server = await startListener();
  using client = await server.connect();
  assert.equal(await client.reply(), '220 mx.test ESMTP');
  assert.equal(
    await client.say('EHLO client.test'),
    '250-mx.test\n250-PIPELINING\n250-SIZE 52428800\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250 ENHANCEDSTATUSCODES',
  );
  assert.deepEqual(
    await client.sayAll(
      'MAIL FROM:<A@Example.COM> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=id+2B1',
      'RCPT TO:<B@Example.ORG> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@Example.ORG',
      'DATA',
    ),
    ['250 2.1.0 Sender OK', '250 2.1.5 Recipient OK', '354 End data with <CR><LF>.<CR><LF>'],
  );
  assert.equal(await client.say('Subject: x\r\n\r\n..hello\r\n.'), '250 2.0.0 Queued as Q1');
  assert.equal(await client.say('QUIT'), '221 2.0.0 Bye');
  assert.equal(await client.rest(), '');

  const [message] = server.router.messages;
  assert.ok(message);
  assert.equal(message.text, 'Subject: x\r\n\r\n.hello\r\n');
  assert.deepEqual(message.prepend, ['Received: test\r\n']);
  assert.equal(message.sizeHint, 100);
  assert.equal(message.chunks, 1);
  assert.deepEqual([...server.router.nodes], ['node-7']);
  assert.deepEqual(message.envelope, {
    reversePath: 'A@example.com',
    recipients: [{ address: 'B@example.org', notify: ['SUCCESS', 'FAILURE'], orcpt: 'rfc822;B+x@Example.ORG' }],
    ret: 'HDRS',
    envid: 'id+1',
    smtpUtf8: false,
  });
  const { session, ...origin } = message.origin;
  assert.match(session, /^[0-9A-Z]{12}$/);
  assert.deepEqual(origin, {
    listener: 'mx',
    kind: 'relay',
    client: { address: '127.0.0.1', name: 'client.test', helo: 'client.test' },
    tls: undefined,
  });
  assert.deepEqual(message.facts, {
    headerBytes: 14,
    size: 22,
    bodyHash: createHash('sha256').update('.hello\r\n').digest('base64'),
    eightBitBody: false,
    eightBitHeader: false,
  });
  const traces = server.policy.calls.filter((c) => c.operation !== 'client-check').map((c) => c.options?.trace);
  assert.deepEqual(new Set(traces), new Set([message.trace]), 'every call of a transaction carries its trace');
  const asked = server.policy.calls.find((c) => c.operation === 'message-check');
  assert.equal(Buffer.from(asked?.options?.bytes ?? []).toString(), 'Subject: x\r\n\r\n');
  assert.ok(asked !== undefined && (asked.request as { queueId: string }).queueId === 'Q1');
});

/** What is said, and what must be heard. `…` stands for EHLO and its reply. */
const DIALOGUES: [name: string, script: string][] = [
  [
    'commands out of order',
    `> MAIL FROM:<a@b.test>
     < 503 5.5.1 Send EHLO or HELO first
     > HELO client.test
     < 250 mx.test
     > RCPT TO:<a@b.test>
     < 503 5.5.1 Send MAIL first
     > DATA
     < 503 5.5.1 Send MAIL first
     > MAIL FROM:<>
     < 250 2.1.0 Sender OK
     > MAIL FROM:<>
     < 503 5.5.1 A mail transaction is open already
     > DATA
     < 503 5.5.1 Send RCPT first
     > RSET
     < 250 2.0.0 OK
     > RCPT TO:<a@b.test>
     < 503 5.5.1 Send MAIL first`,
  ],
  [
    'EHLO ends a transaction, a failed one does not',
    `> HELO client.test
     < 250 mx.test
     > MAIL FROM:<a@b.test>
     < 250 2.1.0 Sender OK
     > EHLO
     < 501 Syntax: EHLO hostname
     > RCPT TO:<c@d.test>
     < 250 2.1.5 Recipient OK
     > HELO again.test
     < 250 mx.test
     > RCPT TO:<c@d.test>
     < 503 5.5.1 Send MAIL first`,
  ],
  [
    'commands that exist elsewhere',
    `> HELP
     < 502 5.5.1 Command not implemented
     > ETRN x
     < 502 5.5.1 Command not implemented
     > EXPN staff
     < 502 5.5.1 Command not implemented
     > BDAT 10 LAST
     < 502 5.5.1 Command not implemented
     > XCLIENT ADDR=10.0.0.1
     < 502 5.5.1 Command not implemented
     > XFORWARD ADDR=10.0.0.1
     < 502 5.5.1 Command not implemented
     > WIZ
     < 500 5.5.2 Command not recognized
     > SHELL
     < 500 5.5.2 Command not recognized
     > KILL
     < 500 5.5.2 Command not recognized
     > LHLO client.test
     < 500 5.5.2 Command not recognized
     > constructor
     < 500 5.5.2 Command not recognized
     >
     < 500 5.5.2 Command not recognized
     > VRFY
     < 501 5.5.4 Syntax: VRFY address
     > vrfy root
     < 252 2.0.0 Cannot verify the mailbox, but will take mail for it if it exists
     > STARTTLS
     < 503 5.5.1 Send EHLO or HELO first`,
  ],
  [
    'no TLS and no AUTH on this listener',
    `> HELO client.test
     < 250 mx.test
     > STARTTLS
     < 502 5.5.1 Command not implemented
     > AUTH PLAIN AGEAYg==
     < 502 5.5.1 Command not implemented
     > MAIL FROM:<a@b.test> AUTH=<>
     < 555 5.5.4 MAIL parameter AUTH is not known`,
  ],
  [
    'bad parameters of MAIL',
    `> HELO client.test
     < 250 mx.test
     > MAIL
     < 501 5.5.4 Syntax: MAIL FROM:<address>
     > MAIL FROM:a@b.test
     < 501 5.1.7 Bad address syntax: an address stands in angle brackets, as in <user@example.com>
     > MAIL FROM:<@relay.test:a@b.test>
     < 553 5.1.7 Source routes are not accepted
     > MAIL FROM:<a@b.test> SIZE=52428801
     < 552 5.3.4 Message is larger than this server takes (52428800 bytes)
     > MAIL FROM:<a@b.test> SIZE=x
     < 501 5.5.4 SIZE needs a number of bytes
     > MAIL FROM:<a@b.test> BODY=BINARYMIME
     < 501 5.5.4 BODY must be 7BIT or 8BITMIME
     > MAIL FROM:<a@b.test> SMTPUTF8=yes
     < 501 5.5.4 SMTPUTF8 takes no value
     > MAIL FROM:<a@b.test> RET=ALL
     < 501 5.5.4 RET must be FULL or HDRS
     > MAIL FROM:<a@b.test> ENVID=a+0Ab
     < 501 5.5.4 ENVID must be xtext of at most 100 characters
     > MAIL FROM:<a@b.test> SIZE=1 SIZE=2
     < 501 5.5.4 Parameter SIZE was given twice
     > MAIL FROM:<a@b.test> REQUIRETLS
     < 555 5.5.4 MAIL parameter REQUIRETLS is not known
     > MAIL FROM:<a@b.test>SIZE=1
     < 501 5.5.4 A space must stand between path and parameters
     > mail from: <a@b.test> size=1
     < 250 2.1.0 Sender OK`,
  ],
  [
    'bad parameters of RCPT',
    `> HELO client.test
     < 250 mx.test
     > MAIL FROM:<a@b.test>
     < 250 2.1.0 Sender OK
     > RCPT TO:<>
     < 501 5.1.3 Bad address syntax: an address stands in angle brackets, as in <user@example.com>
     > RCPT TO:<nobody>
     < 501 5.1.3 Bad address syntax: an address stands in angle brackets, as in <user@example.com>
     > RCPT TO:<@a.test,@b.test:c@d.test>
     < 553 5.1.3 Source routes are not accepted
     > RCPT TO:<c@d.test> NOTIFY=NEVER,DELAY
     < 501 5.5.4 NOTIFY must be NEVER, or any of SUCCESS, FAILURE and DELAY
     > RCPT TO:<c@d.test> NOTIFY=SOMETIMES
     < 501 5.5.4 NOTIFY must be NEVER, or any of SUCCESS, FAILURE and DELAY
     > RCPT TO:<c@d.test> ORCPT=c@d.test
     < 501 5.5.4 ORCPT must be an address type, a semicolon and an address as xtext
     > RCPT TO:<c@d.test> SIZE=1
     < 555 5.5.4 RCPT parameter SIZE is not known
     > RCPT TO:<PostMaster>
     < 250 2.1.5 Recipient OK
     > DATA now
     < 501 5.5.4 DATA takes no parameters`,
  ],
  [
    'addresses that are not ASCII need SMTPUTF8 (RFC 6531)',
    `> EHLÖ client.test
     < 500 5.5.2 Command not recognized
     > HELO client.test
     < 250 mx.test
     > MAIL FROM:<jörg@exämple.test>
     < 553 5.6.7 Address is not ASCII: the SMTPUTF8 parameter of MAIL is needed
     > MAIL FROM:<a@b.test>
     < 250 2.1.0 Sender OK
     > RCPT TO:<jörg@exämple.test>
     < 553 5.6.7 Address is not ASCII: the SMTPUTF8 parameter of MAIL is needed
     > RSET
     < 250 2.0.0 OK
     > MAIL FROM:<jörg@exämple.test> SMTPUTF8
     < 250 2.1.0 Sender OK
     > RCPT TO:<jörg@exämple.test>
     < 250 2.1.5 Recipient OK`,
  ],
];

for (const [name, script] of DIALOGUES) {
  test(`dialogue: ${name}`, async () => {
    await using server = await startListener();
    await play(server.port, script);
  });
}

test('a client may have any name; what comes in of it is printable ASCII in one word', async () => {
  await using server = await startListener();
  for (const [command, helo] of [
    [Buffer.from('EHLO BÜRO-PC\r\n'), 'B?RO-PC'],
    [Buffer.from('HELO B\xdcRO-PC\r\n', 'latin1'), 'B?RO-PC'],
    [Buffer.from('EHLO HP LaserJet\r\n'), 'HP?LaserJet'],
  ] as const) {
    using client = await server.connect();
    await client.reply();
    client.write(command);
    assert.match(await client.reply(), /^250.mx\.test/);
    await client.say('MAIL FROM:<a@b.test>');
    const asked = server.policy.calls.at(-1)?.request as { facts: { client: { helo: string } } };
    assert.equal(asked.facts.client.helo, helo);
    assert.equal(await client.say(`HELO ${'x'.repeat(256)}`), '501 Syntax: HELO hostname');
  }
});

test('addresses reach policy with their domain in A-labels', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<jörg@EXÄMPLE.test> SMTPUTF8', 'RCPT TO:<"plain"@Host.Test>', 'RCPT TO:<postMASTER>');
  const asked = server.policy.calls.map((c) => c.request as { reversePath?: string; recipient?: { address: string } });
  assert.equal(asked[1]?.reversePath, 'jörg@xn--exmple-cua.test');
  assert.deepEqual(
    asked.flatMap((r) => r.recipient?.address ?? []),
    ['plain@host.test', 'postmaster'],
  );
});

test('octets that are not UTF-8 in an address', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  client.write(Buffer.from('MAIL FROM:<j\xf6rg@b.test> SMTPUTF8\r\n', 'latin1'));
  assert.equal(await client.reply(), '500 5.5.2 Command is not valid UTF-8');
});

test('verdicts of policy are sent as given, on every command', async () => {
  const refuse = (code: number, enhanced: string, text: string) => async () => ({
    action: 'reject' as const,
    reply: { code, enhanced, text },
    why: [],
  });
  await using server = await startListener({
    policy: {
      'sender-check': async ({ reversePath }) =>
        reversePath === 'bad@b.test'
          ? { action: 'reject', reply: { code: 554, text: 'Mail rejected for policy reasons.' }, why: [] }
          : { action: 'accept', why: [] },
      'recipient-check': refuse(554, '5.7.1', 'Relay rejected for policy reasons'),
    },
  });
  await play(
    server.port,
    `> HELO client.test
     < 250 mx.test
     > MAIL FROM:<bad@b.test>
     < 554 Mail rejected for policy reasons.
     > MAIL FROM:<a@b.test>
     < 250 2.1.0 Sender OK
     > RCPT TO:<c@d.test>
     < 554 5.7.1 Relay rejected for policy reasons
     > DATA
     < 554 5.5.1 No valid recipients`,
  );
});

test('a reply is one line whatever its text', async () => {
  await using server = await startListener({
    policy: {
      'sender-check': async () => ({
        action: 'defer',
        reply: { code: 450, enhanced: '4.7.1', text: 'a\r\n250 b' },
        why: [],
      }),
    },
  });
  using client = await Dialogue.greeted(server.port);
  assert.equal(await client.say('MAIL FROM:<a@b.test>'), '450 4.7.1 a  250 b');
});

test('a client that policy refuses gets the reply and is disconnected', async () => {
  const reply = { code: 554, enhanced: '5.7.1', text: 'Go away' };
  await using server = await startListener({
    policy: { 'client-check': async () => ({ action: 'reject', reply, why: [] }) },
  });
  using client = await server.connect();
  assert.equal(await client.rest(), '554 5.7.1 Go away\r\n');
});

test('without policy nobody gets in, and nothing is refused permanently', async () => {
  let away = true;
  const answer = async <T>(verdict: T) => {
    if (away) throw new SealpostError('unavailable', 'no policy service answers');
    return verdict;
  };
  const accept = { action: 'accept' as const, why: [] };
  await using server = await startListener({
    policy: {
      'client-check': () => answer({ ...accept, name: null, scope: 'external' }),
      'sender-check': () => answer(accept),
      'recipient-check': ({ recipient }) => answer({ ...accept, recipients: [recipient] }),
    },
  });
  using first = await server.connect();
  assert.equal(await first.rest(), '421 4.3.0 Local error in processing, please try again later\r\n');
  away = false;
  using client = await Dialogue.greeted(server.port);
  away = true;
  assert.match(await client.say('MAIL FROM:<a@b.test>'), /^451 4\.3\.0 /);
  away = false;
  await client.say('MAIL FROM:<a@b.test>');
  away = true;
  assert.match(await client.say('RCPT TO:<a@b.test>'), /^451 4\.3\.0 /);
});

test('an alias that leads to several, and to one that is there already', async () => {
  await using server = await startListener({
    policy: {
      'recipient-check': async ({ recipient }) => ({
        action: 'accept',
        recipients: [{ ...recipient, address: 'one@x.test', original: recipient.address }, { address: 'two@x.test' }],
        why: [],
      }),
    },
  });
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<>', 'RCPT TO:<all@x.test>', 'RCPT TO:<team@x.test>', 'DATA', '.');
  const asked = server.policy.calls.find((c) => c.operation === 'message-check')?.request;
  assert.deepEqual((asked as { recipients: string[] }).recipients, ['all@x.test', 'team@x.test'], 'as RCPT named them');
  assert.deepEqual(server.router.messages[0]?.envelope.recipients, [
    { address: 'one@x.test', original: 'all@x.test' },
    { address: 'two@x.test' },
  ]);
});

test('pipelined commands are answered in order, QUIT ends what follows', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  client.write('MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<bad\r\nDATA\r\n');
  assert.match(await client.reply(), /^250 2\.1\.0/);
  assert.match(await client.reply(), /^250 2\.1\.5/);
  assert.match(await client.reply(), /^501/);
  assert.match(await client.reply(), /^354/);
  client.write('Subject: x\r\n\r\n.\r\nNOOP\r\nQUIT\r\nMAIL FROM:<a@b.test>\r\n');
  assert.match(await client.reply(), /^250 2\.0\.0 Queued/);
  assert.equal(await client.rest(), '250 2.0.0 OK\r\n221 2.0.0 Bye\r\n');
});

test('a client that closes its side after the last command still gets the replies', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  client.socket.end('Subject: x\r\n\r\n.\r\n');
  assert.match(await client.rest(), /^250 2\.0\.0 Queued as Q1\r\n$/);
});

test('a line without its end is not a command', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  client.socket.end('MAIL FROM:<a@b.test>');
  assert.equal(await client.rest(), '');
  assert.ok(!server.policy.calls.some((c) => c.operation === 'sender-check'));
});

const LINES: [name: string, line: string, reply: string, closes: boolean][] = [
  ['bare LF', 'NOOP\n', '500 5.5.2 Bare LF in a command: lines end with CRLF', true],
  ['bare CR', 'NO\rOP\r\n', '500 5.5.2 Bare CR in a command: lines end with CRLF', true],
  ['NUL', 'NO\0OP\r\n', '500 5.5.2 NUL in a command', false],
  ['too long', `NOOP ${'x'.repeat(3000)}\r\n`, '500 5.5.2 Line too long', false],
  ['HTTP request', 'POST / HTTP/1.1\r\nHost: x\r\n', '421 4.7.0 This is SMTP, not HTTP', true],
  ['HTTP request without a version', 'get /\r\n', '421 4.7.0 This is SMTP, not HTTP', true],
  ['HTTP header field', 'Content-Length: 5\r\n', '421 4.7.0 This is SMTP, not HTTP', true],
];

for (const [name, line, reply, closes] of LINES) {
  test(`line that is not a command: ${name}`, async () => {
    await using server = await startListener();
    using client = await Dialogue.greeted(server.port);
    client.write(`${line}NOOP\r\n`);
    assert.equal(await client.reply(), reply);
    assert.equal(await client.reply(), closes ? '(closed)' : '250 2.0.0 OK');
  });
}

test('a client that talks before the greeting is sent away', async () => {
  let greet: (() => void) | undefined;
  const wait = new Promise<void>((resolve) => {
    greet = resolve;
  });
  await using server = await startListener({
    policy: {
      'client-check': async () => {
        await wait;
        return { action: 'accept', name: null, scope: 'external', why: [] };
      },
    },
  });
  using client = await server.connect();
  client.write('EHLO spammer.test\r\nMAIL FROM:<a@b.test>\r\n');
  assert.equal(await client.rest(), '421 4.7.0 Commands before the greeting are not allowed\r\n');
  greet?.();
});

test('a handler that fails in an unexpected way costs one 451', async () => {
  await using server = await startListener({
    policy: {
      'sender-check': () => {
        throw new TypeError('a bug');
      },
    },
  });
  using client = await Dialogue.greeted(server.port);
  assert.match(await client.say('MAIL FROM:<a@b.test>'), /^451 4\.3\.0 /);
  assert.equal(await client.say('NOOP'), '250 2.0.0 OK');
  assert.ok(server.log.some((line) => line.msg === 'command failed'));
});
