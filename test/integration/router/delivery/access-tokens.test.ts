import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { parseConfig } from '#cluster/config/load.ts';
import type { RouteOauth } from '#cluster/config/schema/oauth.ts';
import { AccessTokens } from '#services/router/delivery/access-tokens.ts';
import { Unreachable } from '#services/router/delivery/channel.ts';
import type { NextHop } from '#services/router/delivery/job.ts';
import { silentLogger } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { CLIENT, OpenIdProvider } from '#test/kit/openid/openid-provider.ts';
import { type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Log-in at a smart host with an access token, which a real provider gives. */

const X = ['AUTH PLAIN XOAUTH2'];
const QUICK = testSettings({ delivery: { connections: 10, timeout: { connect: '2s', command: '2s', data: '2s' } } });

function grant(provider: OpenIdProvider, more: Partial<RouteOauth> = {}): RouteOauth {
  return {
    'token-endpoint': provider.tokenEndpoint,
    'client-id': CLIENT.id,
    'client-secret': new Secret(CLIENT.secret),
    scope: 'smtp',
    ...more,
  };
}

function hop(port: number, oauth: RouteOauth): NextHop {
  const user = 'news@example.com';
  return { key: `smtp://${port}`, spec: { kind: 'smtp', host: '127.0.0.1', port, user, oauth }, tls: 'opportunistic' };
}

/** A smart host that takes the tokens in `valid` alone; all, where there is none. */
function smartHost(options: SinkOptions & { valid?: Set<string> } = {}): Promise<SmtpSink> {
  const { valid, ...rest } = options;
  return SmtpSink.start({
    extensions: X,
    script: ({ verb, line, session }) =>
      verb === 'AUTH' && line === '' && valid !== undefined && !valid.has(session.auth?.password ?? '')
        ? '334 eyJzdGF0dXMiOiI0MDEifQ=='
        : undefined,
    ...rest,
  });
}

/** How often the provider was asked for a token. */
const asked = (provider: OpenIdProvider): number => provider.asked.filter((path) => path === '/token').length;

test('A6 a route logs in with a token of client credentials, got once for all its connections and destinations', async () => {
  await using provider = await OpenIdProvider.start();
  await using sink = await smartHost();
  await using delivery = testDelivery({ settings: QUICK });
  const to = hop(sink.port, grant(provider));
  const jobs = Array.from({ length: 50 }, () => testJob());
  for (const results of await delivery.run(to, ...jobs)) assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  // As after a pause in which the destination is forgotten.
  await delivery.run({ ...to, key: 'another' }, testJob());
  assert.ok(sink.sessions.length > 2);
  assert.equal(asked(provider), 1);
  const tokens = new Set(sink.sessions.map(({ auth }) => auth?.password));
  assert.equal(tokens.size, 1);
  const said = await provider.introspect([...tokens][0] ?? '');
  assert.deepEqual([said?.['client_id'], said?.['scope']], ['sealpost', 'smtp']);
  assert.ok(sink.sessions.every(({ auth }) => auth?.user === 'news@example.com'));
});

test('A6 a refresh token leads to tokens of its user, and one that the provider gives in its place is used', async () => {
  await using provider = await OpenIdProvider.start({ seconds: 100 });
  let now = 0;
  const refresh = await provider.refreshTokenFor('news@example.com');
  const oauth = grant(provider, { 'refresh-token': new Secret(refresh) });
  const tokens = new AccessTokens(oauth, silentLogger, () => now);
  const first = await tokens.current();
  const said = await provider.introspect(first.value.reveal());
  assert.equal(said?.['preferred_username'], 'news@example.com');
  // This provider takes each refresh token once.
  for (let previous = first; now < 300_000; now += 1000) {
    now += 100_000;
    const next = await tokens.current();
    assert.notEqual(next.value.reveal(), previous.value.reveal());
    previous = next;
  }
  await assert.rejects(new AccessTokens(oauth, silentLogger).current(), /answered 400 invalid_grant/);
});

test('A6 a token too long for a command line is sent as a response, and OAUTHBEARER where XOAUTH2 is not offered', async () => {
  await using provider = await OpenIdProvider.start();
  const long = 'a'.repeat(2000);
  provider.intercept = (path, _, response) => {
    if (path !== '/token') return false;
    response.end(JSON.stringify({ access_token: long, token_type: 'bearer', expires_in: '3600' }));
    return true;
  };
  for (const mechanism of ['XOAUTH2', 'OAUTHBEARER']) {
    await using sink = await smartHost({ extensions: [`AUTH ${mechanism}`] });
    await using delivery = testDelivery({ settings: QUICK });
    const [results = []] = await delivery.run(hop(sink.port, grant(provider)), testJob());
    assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
    assert.deepEqual(sink.messages[0]?.session.auth, { user: 'news@example.com', password: long });
    assert.ok(sink.messages[0]?.session.lines.includes(`AUTH ${mechanism}`));
  }
});

test('A6 a token that was revoked is replaced once, and the mail goes out over the same connection', async () => {
  await using provider = await OpenIdProvider.start();
  const valid = new Set<string>();
  await using sink = await smartHost({ valid });
  await using delivery = testDelivery({ settings: QUICK });
  const given: string[] = [];
  provider.intercept = (path, _, response) => {
    if (path !== '/token') return false;
    given.push(`token-${given.length}`);
    response.end(JSON.stringify({ access_token: given.at(-1), token_type: 'Bearer', expires_in: 3600 }));
    return true;
  };
  valid.add('token-1');
  const [results = []] = await delivery.run(hop(sink.port, grant(provider)), testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.deepEqual(given, ['token-0', 'token-1']);
  assert.equal(sink.sessions.length, 1);
});

test('A6 a smart host that refuses every token makes mail wait, and the provider be asked twice', async () => {
  await using provider = await OpenIdProvider.start();
  await using sink = await smartHost({ valid: new Set() });
  await using delivery = testDelivery({ settings: QUICK });
  const to = hop(sink.port, grant(provider));
  for (let i = 0; i < 3; i++) {
    const [results = []] = await delivery.run(to, testJob({ urgent: true }));
    assert.deepEqual(brief(results), ['deferred 535 5.7.8 local']);
  }
  assert.equal(asked(provider), 2);
  assert.equal(sink.messages.length, 0);
});

test('A6 a smart host that asks on and on makes mail wait', async () => {
  await using sink = await smartHost({
    extensions: ['AUTH LOGIN'],
    script: ({ verb }) => (verb === 'AUTH' ? '334 YW5k' : undefined),
  });
  await using delivery = testDelivery({ settings: QUICK });
  const spec = { kind: 'smtp', host: '127.0.0.1', port: sink.port, user: 'me', password: new Secret('x') } as const;
  const [[result] = []] = await delivery.run({ key: 'smart', spec, tls: 'opportunistic' }, testJob());
  assert.deepEqual(brief(result === undefined ? [] : [result]), ['deferred 454 4.7.0 local']);
  assert.equal(result?.outcome.reply.text, 'the host asks for more than AUTH LOGIN has');
});

test('A6 a smart host without XOAUTH2 gets no token, and no password either', async () => {
  await using provider = await OpenIdProvider.start();
  await using sink = await smartHost({ extensions: ['AUTH PLAIN LOGIN'] });
  await using delivery = testDelivery({ settings: QUICK });
  const [[result] = []] = await delivery.run(hop(sink.port, grant(provider)), testJob());
  assert.match(result?.outcome.reply.text ?? '', /offers only AUTH PLAIN LOGIN; XOAUTH2 or OAUTHBEARER is needed$/);
  assert.deepEqual([result?.state, result?.local], ['deferred', true]);
  assert.ok(sink.sessions.every(({ lines }) => !lines.some((line) => line.startsWith('AUTH'))));
});

test('A6 a token goes to a verified certificate only', async () => {
  const tls = await (await createAuthority()).issue();
  await using provider = await OpenIdProvider.start();
  await using sink = await smartHost({ tls });
  await using delivery = testDelivery({ settings: QUICK });
  const [[result] = []] = await delivery.run(hop(sink.port, grant(provider)), testJob());
  assert.match(result?.outcome.reply.text ?? '', /^the token of this route goes to a verified certificate only/);
  assert.ok(sink.sessions.every(({ auth }) => auth === undefined));
});

test('A6 a provider that is away makes mail wait with its name, no connection is opened, and nothing bounces', async () => {
  await using provider = await OpenIdProvider.start();
  await provider.stop();
  await using sink = await smartHost();
  const { log, lines } = logLines();
  await using delivery = testDelivery({ settings: QUICK, log });
  const to = hop(sink.port, grant(provider));
  for (const results of await delivery.run(to, testJob(), testJob(), testJob())) {
    assert.deepEqual(brief(results), ['deferred 454 4.7.0 local']);
    const text = results[0]?.outcome.reply.text ?? '';
    assert.match(text, /^no access token for this route: http:.*\/token gave no answer: connect ECONNREFUSED/);
  }
  assert.equal(sink.sessions.length, 0);
  assert.equal(lines().filter(({ msg }) => msg === 'no access token for a route: its mail waits').length, 1);
});

const PLAIN_TOKEN = { access_token: 'x', token_type: 'Bearer' };
/** What a provider answers, and how the reason goes on behind its URL. */
const NO_TOKENS: [name: string, status: number, body: string, reason: RegExp][] = [
  ['refuses the client', 401, '{"error":"invalid_client"}', /answered 401 invalid_client$/],
  [
    'repeats the secret',
    400,
    JSON.stringify({ error: 'x', error_description: `no ${CLIENT.secret}` }),
    /answered 400 x \(no …\)$/,
  ],
  ['steers the terminal', 400, '{"error":"\\u001b[31m\\r\\n250 ok"}', /answered 400 \?\[31m\?\?250 ok$/],
  ['talks on', 400, JSON.stringify({ error: 'x'.repeat(100_000) }), /answered 400 x{200,300}…$/],
  ['is broken', 502, '<html>Bad Gateway</html>', /answered 502$/],
  ['redirects', 302, '', /answered 302$/],
  ['answers without a token', 200, '{}', /something else than a bearer token/],
  ['answers with a list', 200, '[]', /something else than a bearer token/],
  ['gives a token of another kind', 200, JSON.stringify({ ...PLAIN_TOKEN, token_type: 'DPoP' }), /something else/],
  [
    'gives a token with ^A in it',
    200,
    JSON.stringify({ ...PLAIN_TOKEN, access_token: 'x\x01user=y' }),
    /something else/,
  ],
  ['gives a token of 100 KB', 200, JSON.stringify({ ...PLAIN_TOKEN, access_token: 'x'.repeat(1e5) }), /something else/],
  ['gives a token that has ended', 200, JSON.stringify({ ...PLAIN_TOKEN, expires_in: 0 }), /something else/],
  ['answers with a megabyte', 200, ' '.repeat(1 << 20), /larger than 256 KB$/],
];

for (const [name, status, body, reason] of NO_TOKENS) {
  test(`A6 mail waits where the provider ${name}`, async () => {
    await using provider = await OpenIdProvider.start();
    provider.intercept = (_path, _request, response) => {
      response.writeHead(status, { location: '/elsewhere' }).end(body);
      return true;
    };
    const { log, lines } = logLines();
    const tokens = new AccessTokens(grant(provider), log);
    const error = await tokens.current().catch((failure: unknown) => failure);
    assert.ok(error instanceof Unreachable);
    assert.deepEqual([error.state, error.local, error.reply.code], ['deferred', true, 454]);
    assert.match(error.reply.text, reason);
    assert.ok(!JSON.stringify(lines()).includes(CLIENT.secret));
    assert.ok(JSON.stringify(lines()).length < 1000);
  });
}

test('A6 the token is renewed before it ends, and used to its end where the provider is away', async () => {
  await using provider = await OpenIdProvider.start({ seconds: 100 });
  let now = 0;
  const tokens = new AccessTokens(grant(provider), silentLogger, () => now);
  const first = await tokens.current();
  now = 79_000;
  assert.equal(await tokens.current(), first);
  assert.equal(asked(provider), 1);
  now = 81_000;
  const many = await Promise.all(Array.from({ length: 20 }, () => tokens.current()));
  assert.ok(
    many.every((token) => token === first),
    'nobody waits for the next one',
  );
  await waitFor(async () => (await tokens.current()) !== first, { what: 'the next token' });
  const second = await tokens.current();
  assert.equal(asked(provider), 2, 'one question, however many connections');
  await provider.stop();
  now += 81_000;
  assert.equal(await tokens.current(), second, 'not ended yet');
  now += 20_000;
  await assert.rejects(tokens.current(), Unreachable);
  await provider.resume();
  await assert.rejects(tokens.current(), Unreachable, 'not asked again at once');
  now += 6000;
  assert.notEqual(await tokens.current(), second);
  assert.ok(!inspect(tokens, { depth: 9 }).includes(first.value.reveal()));
});

test('A6 a provider that says nothing costs ten seconds, however many connections wait', async () => {
  await using provider = await OpenIdProvider.start();
  provider.intercept = () => true;
  const tokens = new AccessTokens(grant(provider), silentLogger);
  const began = performance.now();
  const failures = await Promise.allSettled(Array.from({ length: 20 }, () => tokens.current()));
  assert.ok(performance.now() - began < 14_000);
  for (const failure of failures) {
    assert.ok(failure.status === 'rejected' && failure.reason instanceof Unreachable);
    assert.match(failure.reason.reply.text, /gave no answer: there was no complete answer in time$/);
  }
  assert.equal(asked(provider), 1);
});

test('A6 an outage of the provider does not bring back a refresh token that it has replaced; its word that one is void does', async () => {
  await using provider = await OpenIdProvider.start();
  const used: (string | null)[] = [];
  const answers = [
    { status: 200, body: { ...PLAIN_TOKEN, refresh_token: 'second' } },
    { status: 503, body: {} },
    { status: 400, body: { error: 'invalid_grant' } },
    { status: 200, body: PLAIN_TOKEN },
  ];
  provider.intercept = (_path, request, response) => {
    let form = '';
    request.on('data', (bytes) => {
      form += String(bytes);
    });
    request.on('end', () => {
      used.push(new URLSearchParams(form).get('refresh_token'));
      const { status, body } = answers[used.length - 1] ?? { status: 500, body: {} };
      response.writeHead(status).end(JSON.stringify(body));
    });
    return true;
  };
  let now = 0;
  const tokens = new AccessTokens(grant(provider, { 'refresh-token': new Secret('first') }), silentLogger, () => now);
  await tokens.current();
  for (const works of [false, false, true]) {
    now += 3_600_000;
    const result = await tokens.current().then(
      () => true,
      () => false,
    );
    assert.equal(result, works);
  }
  assert.deepEqual(used, ['first', 'second', 'second', 'first']);
});

test('A6 a route whose client secret changes uses neither the token nor the connection of the old one', async () => {
  await using provider = await OpenIdProvider.start();
  await using sink = await smartHost();
  await using delivery = testDelivery({ settings: QUICK });
  const [sent = []] = await delivery.run(hop(sink.port, grant(provider)), testJob());
  assert.deepEqual(brief(sent), ['delivered 250 2.0.0']);
  const changed = grant(provider, { 'client-secret': new Secret('another') });
  const [[result] = []] = await delivery.run(hop(sink.port, changed), testJob());
  assert.equal(result?.state, 'deferred');
  assert.match(result?.outcome.reply.text ?? '', /\/token answered 401 invalid_client/);
});

test('A6 the certificate of the provider is verified, against the authorities that the route names', async () => {
  const authority = await createAuthority();
  await using provider = await OpenIdProvider.start({ tls: await authority.issue({ names: ['127.0.0.1'] }) });
  await using dir = await tempDir();
  const ca = join(dir.path, 'ca.pem');
  await writeFile(ca, authority.ca);
  await new AccessTokens(grant(provider, { ca }), silentLogger).current();
  await assert.rejects(
    new AccessTokens(grant(provider), silentLogger).current(),
    /gave no answer: .*(certificate|self-signed)/,
  );
  const gone = grant(provider, { ca: join(dir.path, 'gone.pem') });
  await assert.rejects(new AccessTokens(gone, silentLogger).current(), /no access token .*ENOENT/);
});

test('A6 a configured route: secrets from files, which neither config show nor JSON tells', async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, 'secret'), `${CLIENT.secret}\n`, { mode: 0o600 });
  const route = `{ to: "*", via: "smtps://me@relay.example", oauth: { token-endpoint: "https://id.example/token", client-id: x, client-secret: { file: ./secret }, refresh-token: refreshing } }`;
  const loaded = await parseConfig(`listeners: []\nroutes:\n  - ${route}\n`, dir.path);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const oauth = loaded.config.routes[0]?.oauth;
  assert.equal(oauth?.['client-secret']?.reveal(), CLIENT.secret);
  assert.equal(oauth?.['refresh-token']?.reveal(), 'refreshing');
  for (const shown of [JSON.stringify(loaded.config), inspect(loaded.config, { depth: 9 })]) {
    assert.doesNotMatch(shown, /refreshing|a secret:/);
  }
  assert.match(await readFile(join(dir.path, 'secret'), 'utf8'), /a secret/);
});
