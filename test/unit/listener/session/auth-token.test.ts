import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOauthBearer, parseXoauth2 } from '#services/listener/parsers/sasl.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** AUTH OAUTHBEARER and XOAUTH2 on the wire; `secret` is the right token of the fake policy. */

const ISSUER = 'https://id.example.com/realm';
const PROVIDER = { issuer: ISSUER, audience: 'mail', 'user-claim': 'email', scopes: ['smtp'] };
const submission = {
  listener: { kind: 'submission', auth: 'always' },
  config: { authentication: { oauth: [PROVIDER] } },
};

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const oauthBearer = (token: string, header = 'n,a=alice,') =>
  base64(`${header}\x01host=x\x01port=587\x01auth=Bearer ${token}\x01\x01`);
const xoauth2 = (token: string) => base64(`user=alice\x01auth=Bearer ${token}\x01\x01`);

const GRANTED = '235 2.7.0 Authentication succeeded';
const REFUSED = '535 5.7.8 Wrong token';
const NOT_IN_FORM = '501 5.5.2 Credentials are not in the form of the mechanism';
const CHALLENGE = `334 ${base64(
  JSON.stringify({
    status: 'invalid_token',
    schemes: 'bearer',
    scope: 'smtp',
    'openid-configuration': `${ISSUER}/.well-known/openid-configuration`,
  }),
)}`;

const DIALOGUES: [name: string, steps: [say: string, hear: string][]][] = [
  ['OAUTHBEARER with initial response', [[`AUTH OAUTHBEARER ${oauthBearer('secret')}`, GRANTED]]],
  [
    'OAUTHBEARER without initial response, in lower case',
    [
      ['auth oauthbearer', '334 '],
      [oauthBearer('secret'), GRANTED],
    ],
  ],
  [
    'XOAUTH2, both ways, and then another mechanism',
    [
      ['AUTH XOAUTH2', '334 '],
      [xoauth2('secret'), GRANTED],
      [`AUTH XOAUTH2 ${xoauth2('secret')}`, '503 5.5.1 Already authenticated'],
    ],
  ],
  [
    'a wrong token: challenge, meaningless response, 535; the next one may be right',
    [
      [`AUTH OAUTHBEARER ${oauthBearer('wrong')}`, CHALLENGE],
      ['AQ==', REFUSED],
      [`AUTH XOAUTH2 ${xoauth2('wrong')}`, CHALLENGE],
      ['', REFUSED],
      [`AUTH XOAUTH2 ${xoauth2('secret')}`, GRANTED],
    ],
  ],
  [
    'a wrong token, and the exchange cancelled',
    [
      [`AUTH OAUTHBEARER ${oauthBearer('wrong')}`, CHALLENGE],
      ['*', '501 5.7.0 Authentication cancelled'],
      ['NOOP', '250 2.0.0 OK'],
    ],
  ],
  [
    'no token: the client asks where it gets one',
    [
      [`AUTH OAUTHBEARER ${base64('n,,\x01auth=\x01\x01')}`, CHALLENGE],
      ['AQ==', '535 5.7.8 Authentication credentials invalid'],
    ],
  ],
  ['not base64', [['AUTH OAUTHBEARER n,,', '501 5.5.2 Cannot decode this: it is not base64']]],
  ['not of the mechanism', [[`AUTH OAUTHBEARER ${xoauth2('secret')}`, NOT_IN_FORM]]],
  ['empty', [['AUTH XOAUTH2 =', NOT_IN_FORM]]],
  [
    'a token of 8 KB, as providers issue them, also in the line of the command',
    [
      [`AUTH XOAUTH2 ${xoauth2('a'.repeat(8000))}`, CHALLENGE],
      ['', REFUSED],
      ['AUTH OAUTHBEARER', '334 '],
      [oauthBearer('a'.repeat(8000)), CHALLENGE],
      ['AQ==', REFUSED],
    ],
  ],
  [
    'only AUTH may be long',
    [
      [`NOOP ${'a'.repeat(8000)}`, '500 5.5.2 Line too long'],
      [`AUTH PLAIN ${'A'.repeat(13_000)}`, '500 5.5.2 Line too long'],
    ],
  ],
  [
    'another mechanism',
    [
      [
        'AUTH CRAM-MD5',
        '504 5.5.4 Authentication mechanism is not supported: use PLAIN, LOGIN, OAUTHBEARER or XOAUTH2',
      ],
    ],
  ],
];

for (const [name, steps] of DIALOGUES) {
  test(`A1 AUTH by token: ${name}`, async () => {
    await using server = await startListener(submission);
    using client = await Dialogue.greeted(server.port);
    for (const [say, hear] of steps) assert.equal(await client.say(say), hear);
  });
}

test('A1 AUTH by token is offered where a provider is configured and AUTH is, and nowhere else', async () => {
  for (const [listener, config, offered] of [
    [{ kind: 'submission', auth: 'always' }, submission.config, 'AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2'],
    [{ kind: 'submission', auth: 'always' }, {}, 'AUTH PLAIN LOGIN'],
    [{ kind: 'submission', auth: 'tls' }, submission.config, undefined],
    [{ kind: 'relay' }, submission.config, undefined],
  ] as const) {
    await using server = await startListener({ listener, config });
    using client = await server.connect();
    await client.reply();
    assert.equal(/AUTH.*/.exec(await client.say('EHLO client.test'))?.[0], offered);
    const reply = await client.say(`AUTH XOAUTH2 ${xoauth2('secret')}`);
    assert.match(reply, offered === undefined ? /^502 / : offered.includes('XOAUTH2') ? /^235 / : /^504 /);
  }
});

test('the token goes to policy as bytes with what the client calls itself, and nowhere else', async () => {
  await using server = await startListener(submission);
  using client = await Dialogue.greeted(server.port);
  await client.sayAll(`AUTH OAUTHBEARER ${oauthBearer('wrong', 'y,a=al=2Cice=3D,')}`, 'AQ==');
  await client.say(`AUTH OAUTHBEARER ${oauthBearer('secret', 'n,,')}`);
  const calls = server.policy.calls.filter((call) => call.operation === 'token-authenticate');
  assert.deepEqual(
    calls.map(({ request, options }) => {
      const { mechanism, user } = request as { mechanism: string; user: string };
      return [mechanism, user, Buffer.from(options?.bytes ?? []).toString()];
    }),
    [
      ['OAUTHBEARER', 'al,ice=', 'wrong'],
      ['OAUTHBEARER', '', 'secret'],
    ],
  );
  const log = JSON.stringify(server.log);
  for (const text of ['wrong', 'secret', oauthBearer('secret', 'n,,')]) assert.ok(!log.includes(text), text);
});

test('the third wrong token ends the session, also where the challenge is cancelled', async () => {
  await using server = await startListener(submission);
  using client = await Dialogue.greeted(server.port);
  for (const answer of ['*', 'AQ==']) await client.sayAll(`AUTH XOAUTH2 ${xoauth2('wrong')}`, answer);
  assert.equal(await client.say(`AUTH XOAUTH2 ${xoauth2('wrong')}`), CHALLENGE);
  client.write('\r\n');
  assert.equal(await client.rest(), `${REFUSED}\r\n421 4.7.0 Too many failed authentications in this session\r\n`);
});

test('where policy cannot say, there is no challenge: the client keeps its token', async () => {
  const away = { code: 454, enhanced: '4.7.0', text: 'Temporary authentication failure' };
  await using server = await startListener({
    ...submission,
    policy: { 'token-authenticate': async () => ({ action: 'defer', reply: away, why: [] }) },
  });
  using client = await Dialogue.greeted(server.port);
  assert.equal(await client.say(`AUTH XOAUTH2 ${xoauth2('secret')}`), '454 4.7.0 Temporary authentication failure');
});

test('a challenge that would not fit a reply line is cut down to its status', async () => {
  const scopes = Array.from({ length: 20 }, (_, i) => `https://mail.example.com/scopes/${i}`);
  await using server = await startListener({
    ...submission,
    config: { authentication: { oauth: [{ ...PROVIDER, scopes }] } },
  });
  using client = await Dialogue.greeted(server.port);
  assert.equal(await client.say(`AUTH XOAUTH2 ${xoauth2('wrong')}`), `334 ${base64('{"status":"invalid_token"}')}`);
});

/** What RFC 7628 §3.1 and RFC 5801 §4 do not allow. */
const MALFORMED: [name: string, message: string][] = [
  ['no end', 'n,,\x01auth=Bearer x\x01'],
  ['something after the end', 'n,,\x01auth=Bearer x\x01\x01x'],
  ['no gs2-header', '\x01auth=Bearer x\x01\x01'],
  ['a channel binding', 'p=tls-unique,,\x01auth=Bearer x\x01\x01'],
  ['a flag that does not exist', 'x,,\x01auth=Bearer x\x01\x01'],
  ['an escape that does not exist in the name', 'n,a=a=40b,\x01auth=Bearer x\x01\x01'],
  ['an unescaped comma in the name', 'n,a=a,b,\x01auth=Bearer x\x01\x01'],
  ['a name with a line end', 'n,a=a\nb,\x01auth=Bearer x\x01\x01'],
  ['an empty name', 'n,a=,\x01auth=Bearer x\x01\x01'],
  ['two tokens', 'n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01'],
  ['another scheme', 'n,,\x01auth=MAC x\x01\x01'],
  ['a token of two words', 'n,,\x01auth=Bearer x y\x01\x01'],
  ['a token with a line end', 'n,,\x01auth=Bearer x\r\n\x01\x01'],
  ['a key of no letters', 'n,,\x011=x\x01auth=Bearer x\x01\x01'],
  ['a control character in a value', 'n,,\x01host=\x02\x01auth=Bearer x\x01\x01'],
  ['NUL', 'n,,\x01auth=Bearer x\0\x01\x01'],
  ['the dummy response alone', '\x01'],
  ['nothing', ''],
];

for (const [name, message] of MALFORMED) {
  test(`OAUTHBEARER is not: ${name}`, () => assert.equal(parseOauthBearer(Buffer.from(message)), undefined));
}

test('messages of OAUTHBEARER and XOAUTH2 are UTF-8 with a name that can be logged', () => {
  assert.deepEqual(parseOauthBearer(Buffer.from('n,a=jörg,\x01AUTH=bearer  a.b-c_~+/==\x01\x01')), {
    user: 'jörg',
    token: 'a.b-c_~+/==',
  });
  assert.deepEqual(parseXoauth2(Buffer.from('user=jörg\x01auth=Bearer x\x01\x01')), { user: 'jörg', token: 'x' });
  for (const message of [
    'user=\x01auth=Bearer x\x01\x01',
    'auth=Bearer x\x01\x01',
    'user=a\x07\x01auth=Bearer x\x01\x01',
  ]) {
    assert.equal(parseXoauth2(Buffer.from(message)), undefined, JSON.stringify(message));
  }
  const latin1 = Buffer.from('user=j\xf6rg\x01auth=Bearer x\x01\x01', 'latin1');
  assert.equal(parseXoauth2(latin1), undefined);
});
