import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBase64, parsePlain, userName } from '#services/listener/parsers/sasl.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const GOOD = base64('\0alice\0secret');
const BAD = base64('\0alice\0wrong');

/** A submission listener on which AUTH works in clear text, so that dialogues need no TLS. */
const submission = { listener: { kind: 'submission', auth: 'always' } };

const GRANTED = '235 2.7.0 Authentication succeeded';
const USERNAME = '334 VXNlcm5hbWU6';
const PASSWORD = '334 UGFzc3dvcmQ6';

const DIALOGUES: [name: string, steps: [say: string, hear: string][]][] = [
  ['PLAIN with initial response', [[`AUTH PLAIN ${GOOD}`, GRANTED]]],
  [
    'PLAIN in lower case, without initial response',
    [
      ['auth plain', '334 '],
      [GOOD, GRANTED],
    ],
  ],
  ['PLAIN with the same authzid', [[`AUTH PLAIN ${base64('alice\0alice\0secret')}`, GRANTED]]],
  ['PLAIN with the name in authzid only', [[`AUTH PLAIN ${base64('alice\0\0secret')}`, GRANTED]]],
  [
    'PLAIN with too few parts',
    [[`AUTH PLAIN ${base64('alice\0secret')}`, '501 5.5.2 Credentials are not in the form of the mechanism']],
  ],
  [
    'PLAIN without a name',
    [[`AUTH PLAIN ${base64('\0\0secret')}`, '501 5.5.2 Credentials are not in the form of the mechanism']],
  ],
  ['PLAIN, empty response', [['AUTH PLAIN =', '501 5.5.2 Credentials are not in the form of the mechanism']]],
  [
    'LOGIN',
    [
      ['AUTH LOGIN', USERNAME],
      [base64('alice'), PASSWORD],
      [base64('secret'), GRANTED],
    ],
  ],
  [
    'LOGIN with initial name',
    [
      [`AUTH LOGIN ${base64('alice')}`, PASSWORD],
      [base64('secret'), GRANTED],
    ],
  ],
  [
    'LOGIN with a name that would forge a log line',
    [[`AUTH LOGIN ${base64('a\r\nb')}`, '501 5.5.2 Credentials are not in the form of the mechanism']],
  ],
  [
    'cancelled at each step',
    [
      ['AUTH PLAIN', '334 '],
      ['*', '501 5.7.0 Authentication cancelled'],
      ['AUTH LOGIN', USERNAME],
      ['*', '501 5.7.0 Authentication cancelled'],
      [`AUTH LOGIN ${base64('alice')}`, PASSWORD],
      ['*', '501 5.7.0 Authentication cancelled'],
      ['NOOP', '250 2.0.0 OK'],
    ],
  ],
  [
    'a response that is no line ends the exchange',
    [
      ['AUTH PLAIN', '334 '],
      ['A'.repeat(13_000), '500 5.5.6 Authentication exchange line is too long'],
      ['NOOP', '250 2.0.0 OK'],
      ['AUTH LOGIN', USERNAME],
      ['A\0A', '500 5.5.2 NUL in a command'],
      ['NOOP', '250 2.0.0 OK'],
    ],
  ],
  ['not base64', [['AUTH PLAIN ***', '501 5.5.2 Cannot decode this: it is not base64']]],
  ['base64 without its padding', [['AUTH PLAIN AGE', '501 5.5.2 Cannot decode this: it is not base64']]],
  ['no mechanism', [['AUTH', '501 5.5.4 Syntax: AUTH mechanism [initial response]']]],
  [
    'unknown mechanisms',
    [
      ['AUTH CRAM-MD5', '504 5.5.4 Authentication mechanism is not supported: use PLAIN or LOGIN'],
      ['AUTH XOAUTH2 x', '504 5.5.4 Authentication mechanism is not supported: use PLAIN or LOGIN'],
      ['AUTH constructor', '504 5.5.4 Authentication mechanism is not supported: use PLAIN or LOGIN'],
    ],
  ],
  [
    'twice',
    [
      [`AUTH PLAIN ${GOOD}`, GRANTED],
      [`AUTH PLAIN ${GOOD}`, '503 5.5.1 Already authenticated'],
    ],
  ],
  [
    'mail without login',
    [
      ['MAIL FROM:<a@b.test>', '530 5.7.0 Authentication required'],
      ['RCPT TO:<a@b.test>', '503 5.5.1 Send MAIL first'],
    ],
  ],
  [
    'mail with login, and what a client says about the author',
    [
      [`AUTH PLAIN ${GOOD}`, GRANTED],
      ['MAIL FROM:<a@b.test> AUTH=<>', '250 2.1.0 Sender OK'],
      [`AUTH PLAIN ${GOOD}`, '503 5.5.1 Already authenticated'],
    ],
  ],
];

for (const [name, steps] of DIALOGUES) {
  test(`A1 AUTH: ${name}`, async () => {
    await using server = await startListener(submission);
    using client = await Dialogue.greeted(server.port);
    for (const [say, hear] of steps) assert.equal(await client.say(say), hear);
  });
}

test('the password goes to policy as bytes, and nowhere else', async () => {
  const password = Buffer.from([0x70, 0xff, 0xfe]);
  await using server = await startListener(submission);
  using client = await Dialogue.greeted(server.port);
  client.write(`AUTH PLAIN ${Buffer.concat([Buffer.from('\0alice\0'), password]).toString('base64')}\r\n`);
  await client.reply();
  const call = server.policy.calls.find((c) => c.operation === 'user-authenticate');
  assert.deepEqual(Buffer.from(call?.options?.bytes ?? []), password);
  const { facts: _, ...asked } = (call?.request ?? {}) as { facts?: unknown };
  assert.deepEqual(asked, { mechanism: 'PLAIN', user: 'alice' });
});

test('what a client sends as name and password is in no line of the log; the outcome is for policy to log', async () => {
  await using server = await startListener(submission);
  using client = await Dialogue.greeted(server.port);
  // Out of step: what was meant as a password comes as a command.
  await client.sayAll(`auth plain ${BAD}`, base64('secret'), `AUTH PLAIN ${GOOD}`);
  assert.deepEqual(
    server.log.filter((l) => l.msg.startsWith('Authentication')),
    [],
  );
  const log = JSON.stringify(server.log);
  for (const text of ['secret', 'wrong', GOOD, BAD, base64('secret')]) assert.ok(!log.includes(text), text);
});

test('the name that policy gave is the user from then on', async () => {
  await using server = await startListener({
    ...submission,
    policy: { 'user-authenticate': async () => ({ action: 'accept', user: 'alice@example.com', why: [] }) },
  });
  using client = await Dialogue.greeted(server.port);
  await client.say(`AUTH PLAIN ${GOOD}`);
  assert.doesNotMatch(await client.say('EHLO client.test'), /AUTH/, 'not offered to who is authenticated');
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA', '.');
  assert.equal(server.router.messages[0]?.origin.user, 'alice@example.com');
});

test('wrong passwords get a late reply, and the third ends the session', async () => {
  await using server = await startListener(submission);
  using client = await Dialogue.greeted(server.port);
  const began = performance.now();
  assert.equal(await client.say(`AUTH PLAIN ${BAD}`), '535 5.7.8 Wrong name or password');
  assert.ok(performance.now() - began > 900, 'a guess costs a second');
  await client.say(`AUTH PLAIN ${BAD}`);
  client.write(`AUTH PLAIN ${BAD}\r\n`);
  assert.equal(
    await client.rest(),
    '535 5.7.8 Wrong name or password\r\n421 4.7.0 Too many failed authentications in this session\r\n',
  );
});

/** A policy that refuses every log-in in one way. */
const refusing = (delayMs: number, refusal: 'reject' | 'defer') => ({
  'user-authenticate': async () => ({
    action: refusal,
    reply: { code: refusal === 'reject' ? 535 : 454, enhanced: '5.7.8', text: 'No' },
    why: [],
    delayMs,
  }),
});

test('the reply is held back for as long as policy says, of a locked user too', async () => {
  for (const refusal of ['reject', 'defer'] as const) {
    await using server = await startListener({ ...submission, policy: refusing(300, refusal) });
    using client = await Dialogue.greeted(server.port);
    const began = performance.now();
    assert.match(await client.say(`AUTH PLAIN ${BAD}`), /No$/);
    const took = performance.now() - began;
    assert.ok(took > 290 && took < 950, `${took} ms`);
    await client.say(`AUTH PLAIN ${BAD}`);
    client.write(`AUTH PLAIN ${BAD}\r\n`);
    assert.match(await client.rest(), /No\r\n421 4\.7\.0 /, 'the third ends the session');
  }
});

test('A3 a failed log-in ends the session where after-failure says so; trouble of this server does not', async () => {
  const config = { authentication: { 'after-failure': 'close' } };
  await using server = await startListener({ ...submission, config, policy: refusing(0, 'reject') });
  using client = await Dialogue.greeted(server.port);
  client.write(`AUTH PLAIN ${BAD}\r\nNOOP\r\n`);
  assert.equal(await client.rest(), '535 5.7.8 No\r\n421 4.7.0 Too many failed authentications in this session\r\n');
  const away = async () => {
    throw new Error('away');
  };
  await using troubled = await startListener({ ...submission, config, policy: { 'user-authenticate': away } });
  using other = await Dialogue.greeted(troubled.port);
  assert.match(await other.say(`AUTH PLAIN ${GOOD}`), /^451 4\.3\.0 /);
  assert.equal(await other.say('NOOP'), '250 2.0.0 OK');
});

test('a directory that is not available is not a wrong password', async () => {
  let tries = 0;
  await using server = await startListener({
    ...submission,
    policy: {
      'user-authenticate': async () => {
        tries++;
        throw new Error('directory down');
      },
    },
  });
  using client = await Dialogue.greeted(server.port);
  for (let i = 0; i < 4; i++) assert.match(await client.say(`AUTH PLAIN ${GOOD}`), /^451 4\.3\.0 /);
  assert.equal(tries, 4);
  assert.equal(await client.say('NOOP'), '250 2.0.0 OK');
});

/** Listener settings, whether EHLO offers AUTH in clear text, and what AUTH answers there. */
const OFFERS: [kind: string, auth: string | undefined, offered: boolean, reply: RegExp][] = [
  ['relay', undefined, false, /^502 5\.5\.1/],
  ['relay', 'off', false, /^502 5\.5\.1/],
  ['relay', 'tls', false, /^502 5\.5\.1/],
  ['relay', 'always', true, /^235/],
  ['submission', undefined, false, /^502 5\.5\.1/],
  ['submission', 'off', false, /^502 5\.5\.1/],
  ['submission', 'always', true, /^235/],
];

for (const [kind, auth, offered, reply] of OFFERS) {
  test(`A2 clear text, no TLS available: ${kind} with auth ${auth ?? 'not set'}`, async () => {
    await using server = await startListener({ listener: { kind, ...(auth && { auth }) } });
    using client = await server.connect();
    await client.reply();
    assert.equal(/AUTH PLAIN LOGIN/.test(await client.say('EHLO client.test')), offered);
    assert.match(await client.say(`AUTH PLAIN ${GOOD}`), reply);
  });
}

test('base64 is decoded strictly', () => {
  assert.deepEqual(decodeBase64('='), Buffer.alloc(0));
  assert.deepEqual(decodeBase64('YQ=='), Buffer.from('a'));
  for (const text of ['YQ', 'YQ=', 'Y===', 'YQ ==', 'YQ==\t', 'Y-_=', '====']) {
    assert.equal(decodeBase64(text), undefined, JSON.stringify(text));
  }
});

test('user names are UTF-8 text of a plausible length', () => {
  assert.equal(userName(Buffer.from('jörg@example.com')), 'jörg@example.com');
  for (const bytes of [Buffer.alloc(0), Buffer.from([0xff]), Buffer.from('a\x07'), Buffer.alloc(256, 'a')]) {
    assert.equal(userName(bytes), undefined);
  }
});

test('a fourth part after the password is not a password', () => {
  assert.equal(parsePlain(Buffer.from('\0a\0b\0c')), undefined);
});

test('PLAIN with another authzid is a question to policy', async () => {
  await using server = await startListener({
    listener: { auth: 'always' },
    policy: {
      'user-authenticate': async ({ actAs, user }) =>
        actAs === 'alice@here.test'
          ? { action: 'accept', user, why: [] }
          : { action: 'reject', reply: { code: 535, enhanced: '5.7.8', text: 'Wrong' }, why: [] },
    },
  });
  using client = await Dialogue.greeted(server.port);
  assert.equal(await client.say(`AUTH PLAIN ${base64('bob\0alice\0secret')}`), '535 5.7.8 Wrong');
  assert.match(await client.say(`AUTH PLAIN ${base64('alice@here.test\0alice\0secret')}`), /^235/);
});
