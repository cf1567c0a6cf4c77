import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import pino from 'pino';
import { Settings } from '#cluster/config/settings.ts';
import { authenticateByToken } from '#services/policy/authenticate.ts';
import { Failures } from '#services/policy/authentication/failures.ts';
import { FairQueue } from '#services/policy/authentication/fair-queue.ts';
import { Tokens } from '#services/policy/authentication/tokens.ts';
import type { Directory } from '#services/policy/directory/directory.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import { createPolicyService } from '#services/policy/service.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import { silentLogger } from '#shared/log.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { AUDIENCE, OpenIdProvider } from '#test/kit/openid/openid-provider.ts';
import { tempDir } from '#test/kit/temp.ts';
import { config, directory, facts, USERS } from '#test/unit/policy/fixtures.ts';

/** Log-ins by token at the policy service, with a real provider and with servers that are none. */

const session = facts({ kind: 'submission', tls: { protocol: 'TLSv1.3', cipher: 'C' } });

async function policyFor(t: TestContext, provider: Record<string, unknown>) {
  const dir = await tempDir();
  const users = join(dir.path, 'users.yaml');
  await writeFile(users, USERS);
  const oauth = [{ audience: AUDIENCE, 'user-claim': 'preferred_username', ...provider }];
  const settings = new Settings(config({ node: { data: dir.path }, directory: { users }, authentication: { oauth } }));
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const service = createPolicyService({ settings, log });
  await service.start();
  t.after(async () => {
    await service.stop();
    await dir[Symbol.asyncDispose]();
  });
  const logIn = async (token: string, user = '', mechanism: 'OAUTHBEARER' | 'XOAUTH2' = 'OAUTHBEARER') => {
    const context = { bytes: Buffer.from(token), trace: undefined };
    const verdict = await service.handlers['token-authenticate']({ facts: session, mechanism, user }, context);
    const result = verdict.action === 'accept' ? verdict.user : `${verdict.reply.code} ${verdict.reply.enhanced}`;
    return { result, why: verdict.why.join('; ') };
  };
  return { logIn, lines };
}

test('A1 a token of the provider is the log-in of the user that it names, by both mechanisms', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn, lines } = await policyFor(t, { issuer: provider.issuer, scopes: ['smtp'] });
  const token = await provider.tokenFor('aLICE');
  for (const [mechanism, user] of [
    ['OAUTHBEARER', ''],
    ['OAUTHBEARER', 'alice'],
    ['XOAUTH2', 'Alice'],
    // What clients have: the address of the mailbox.
    ['XOAUTH2', 'alice@example.com'],
  ] as const) {
    assert.deepEqual(await logIn(token, user, mechanism), { result: 'Alice', why: 'user Alice: token is valid' });
  }
  assert.equal(provider.asked.filter((path) => path.includes('jwks')).length, 1, 'the keys are fetched once');
  const line = lines.find(({ msg }) => msg === 'Authentication succeeded');
  assert.deepEqual([line?.['user'], line?.['mechanism'], line?.['peer']], ['aLICE', 'OAUTHBEARER', '192.0.2.7']);
  assert.ok(!JSON.stringify(lines).includes(token));
});

const HOUR_AGO = Math.floor(Date.now() / 1000) - 3600;
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function publicKeyOf(provider: OpenIdProvider): Promise<string> {
  const { keys } = (await (await fetch(`${provider.issuer}/jwks`)).json()) as { keys: JsonWebKey[] };
  return createPublicKey({ key: keys[0] ?? {}, format: 'jwk' })
    .export({ type: 'spki', format: 'pem' })
    .toString();
}

const ALICE = { preferred_username: 'Alice', scope: 'smtp' };
type Wrong = [name: string, token: (provider: OpenIdProvider) => string | Promise<string>, why: RegExp];
const WRONG: Wrong[] = [
  ['expired', (p) => p.sign({ ...ALICE, exp: HOUR_AGO }), /expired/],
  ['not valid yet', (p) => p.sign({ ...ALICE, nbf: HOUR_AGO + 7200 }), /claim nbf/],
  ['without an end', (p) => p.sign({ ...ALICE, exp: undefined }), /claim exp of the token is missing/],
  ['for another audience', (p) => p.tokenFor('Alice', { audience: 'urn:another' }), /claim aud/],
  ['without an audience', (p) => p.sign({ ...ALICE, aud: undefined }), /claim aud/],
  ['of another issuer', (p) => p.sign({ ...ALICE, iss: 'https://id.test' }), /"https:\/\/id.test" is not an issuer/],
  ['of no issuer', (p) => p.sign({ ...ALICE, iss: undefined }), /"" is not an issuer/],
  [
    'signed with another key under the name of the right one',
    async (p) => {
      const { privateKey } = await generateKeyPair('RS256');
      const claims = { ...ALICE, iss: p.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 };
      return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'first' }).sign(privateKey);
    },
    /signature/,
  ],
  [
    'changed after it was signed',
    async (p) => {
      const [header, , signature] = (await p.sign({ ...ALICE, preferred_username: 'bob@example.com' })).split('.');
      return [header, encode({ ...ALICE, iss: p.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 }), signature].join('.');
    },
    /signature/,
  ],
  [
    'with alg none',
    (p) => `${encode({ alg: 'none' })}.${encode({ ...ALICE, iss: p.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 })}.`,
    /algorithm that is not allowed/,
  ],
  [
    'with the public key as the secret of an HMAC',
    async (p) => {
      const claims = { ...ALICE, iss: p.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 };
      const text = `${encode({ alg: 'HS256', kid: 'first' })}.${encode(claims)}`;
      return `${text}.${createHmac('sha256', await publicKeyOf(p))
        .update(text)
        .digest('base64url')}`;
    },
    /algorithm that is not allowed/,
  ],
  ['with a key that the provider does not have', (p) => p.sign(ALICE, { kid: 'second' }), /no key/],
  [
    'with a header that is to be understood',
    (p) => `${encode({ alg: 'RS256', crit: ['b65'], b65: 1 })}.${encode({ ...ALICE, iss: p.issuer })}.AAAA`,
    /malformed/,
  ],
  ['without the scope', (p) => p.tokenFor('Alice', { scope: 'imap' }), /no scope smtp/],
  ['bound to a key of its holder', (p) => p.sign({ ...ALICE, cnf: { jkt: 'x' } }), /bound/],
  ['without a user', (p) => p.sign({ scope: 'smtp' }), /no claim preferred_username/],
  [
    'with a user that is no text',
    (p) => p.sign({ ...ALICE, preferred_username: ['Alice'] }),
    /no claim preferred_username/,
  ],
  [
    'with a user that forges a log line',
    (p) => p.sign({ ...ALICE, preferred_username: 'a\r\nb' }),
    /no claim preferred_username/,
  ],
  ['with a user whom nobody knows', (p) => p.tokenFor('mallory'), /unknown user/],
  ['opaque', () => 'Bmw-SUFKtcsW1Et80M6iNcOmhwPr3L55wUpFciR-Auc', /not a JWT/],
  ['of three empty parts', () => '..', /not a JWT/],
  ['of claims that are a list', () => `${encode({ alg: 'RS256' })}.${encode([])}.x`, /not a JWT/],
];

test('A1 tokens that are expired, foreign or forged are refused, and the log says why', async (t) => {
  await using provider = await OpenIdProvider.start();
  for (const [name, token, why] of WRONG) {
    // A service of its own each time, so that none is locked.
    const { logIn } = await policyFor(t, { issuer: provider.issuer, scopes: ['smtp'] });
    assert.equal((await logIn(await provider.tokenFor('Alice'))).result, 'Alice');
    const refused = await logIn(await token(provider));
    assert.equal(refused.result, '535 5.7.8', `${name}: ${refused.why}`);
    assert.match(refused.why, why, name);
  }
});

test('a token is good only for who the client says it is', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  const token = await provider.tokenFor('Alice');
  for (const user of ['bob@example.com', 'mallory', 'nobody@example.com']) {
    const { result, why } = await logIn(token, user, 'XOAUTH2');
    assert.equal(result, '535 5.7.8');
    assert.match(why, /not permitted to act as/);
  }
});

test('the directory is asked about nobody before a token is proven, and one that cannot be read is not a wrong token', async (t) => {
  await using provider = await OpenIdProvider.start();
  const oauth = [{ issuer: provider.issuer, audience: AUDIENCE, 'user-claim': 'preferred_username' }];
  const settings = new Settings(config({ authentication: { oauth } }));
  const asked: string[][] = [];
  let known: Directory | undefined = directory();
  const strangers = new LimitedLog();
  t.after(() => strangers.close());
  const deps = {
    ask: ({ users = [] }: { users?: readonly string[] }) => {
      asked.push([...users]);
      return known;
    },
    failures: new Failures({ settings, counts: new SharedCounts({ settings, peers: undefined }) }),
    queue: new FairQueue(1, 1),
    tokens: new Tokens(settings, silentLogger),
    log: silentLogger,
    strangers,
  };
  const logIn = async (token: string) => {
    const request = { facts: session, mechanism: 'OAUTHBEARER', user: 'bob@example.com' };
    return (await authenticateByToken(request, Buffer.from(token), deps)).action;
  };
  assert.equal(await logIn(await provider.tokenFor('bob@example.com', { audience: 'urn:another' })), 'reject');
  assert.equal(await logIn('no token'), 'reject');
  assert.deepEqual(asked, [[], []]);
  assert.equal(await logIn(await provider.tokenFor('bob@example.com')), 'accept');
  assert.deepEqual(asked.at(-1), ['bob@example.com']);
  known = undefined;
  for (let i = 0; i < 20; i++) assert.equal(await logIn(await provider.tokenFor('bob@example.com')), 'defer');
  known = directory();
  assert.equal(await logIn(await provider.tokenFor('bob@example.com')), 'accept', 'nothing has counted');
});

test('a clock that is a little slow or fast does not matter', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  const now = Math.floor(Date.now() / 1000);
  assert.equal((await logIn(await provider.sign({ ...ALICE, exp: now - 30 }))).result, 'Alice');
  assert.equal((await logIn(await provider.sign({ ...ALICE, nbf: now + 30 }))).result, 'Alice');
});

test('an address that the provider has not verified is nobody', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn } = await policyFor(t, { issuer: provider.issuer, 'user-claim': 'email' });
  const email = 'bob@example.com';
  assert.equal((await logIn(await provider.sign({ email, email_verified: true }))).result, email);
  assert.equal((await logIn(await provider.sign({ email, email_verified: 'true' }))).result, email);
  // Apple writes it as text, Entra ID not at all.
  for (const claims of [{ email_verified: false }, { email_verified: 'false' }, {}]) {
    const refused = await logIn(await provider.sign({ email, ...claims }));
    assert.equal(refused.result, '535 5.7.8');
    assert.match(refused.why, /email_verified/);
  }
});

test('A3 forged tokens lock as wrong passwords do; expired ones, which clients send by themselves, do not', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn, lines } = await policyFor(t, { issuer: provider.issuer });
  const expired = await provider.sign({ ...ALICE, exp: HOUR_AGO });
  const foreign = await provider.tokenFor('Alice', { audience: 'urn:another' });
  for (let i = 0; i < 20; i++) assert.equal((await logIn(expired)).result, '535 5.7.8');
  for (let i = 0; i < 10; i++) assert.equal((await logIn(foreign)).result, '535 5.7.8');
  assert.equal((await logIn(await provider.tokenFor('Alice'))).result, '454 4.7.0');
  assert.equal((await logIn(await provider.tokenFor('bob@example.com'))).result, 'bob@example.com');
  assert.equal(lines.filter(({ msg }) => msg === 'Authentication failed').length, 30);
});

test('a provider that is away defers log-ins, and stops nobody where its keys are known', async (t) => {
  await using provider = await OpenIdProvider.start();
  const token = await provider.tokenFor('Alice');
  const before = await policyFor(t, { issuer: provider.issuer });
  assert.equal((await before.logIn(token)).result, 'Alice');
  await provider.stop();
  assert.equal((await before.logIn(token)).result, 'Alice');
  const { logIn, lines } = await policyFor(t, { issuer: provider.issuer });
  for (let i = 0; i < 3; i++) {
    const { result, why } = await logIn(token);
    assert.equal(result, '454 4.7.0');
    assert.match(why, /ECONNREFUSED/);
  }
  const failed = lines.filter(({ msg }) => String(msg).startsWith('keys of the OpenID provider cannot be fetched'));
  assert.equal(failed.length, 1);
  await provider.resume();
  const recovered = async () => (await logIn(token)).result === 'Alice';
  for (const end = Date.now() + 15_000; !(await recovered()); ) {
    assert.ok(Date.now() < end, 'log-ins work again a few seconds after the provider is back');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test('a key that the provider has only now is fetched when a token names it, and a flood of unknown keys is not a flood of questions', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  assert.equal((await logIn(await provider.tokenFor('Alice'))).result, 'Alice');
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const answer = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'next' }] });
  provider.intercept = (path, _, response) => {
    if (path !== '/jwks') return false;
    response.end(answer);
    return true;
  };
  const claims = { ...ALICE, iss: provider.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 };
  const signed = (kid: string) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
  assert.equal((await logIn(await signed('next'))).result, 'Alice');
  const asked = provider.asked.length;
  for (let i = 0; i < 20; i++) assert.equal((await logIn(await signed(`${i}`))).result, '454 4.7.0');
  assert.equal(provider.asked.length, asked);
  assert.equal((await logIn(await signed('next'))).result, 'Alice');
});

test('A3 a token that does not name its key is tried with each that fits, also with one that the provider has only now', async (t) => {
  await using provider = await OpenIdProvider.start();
  const [first, second, third] = [
    await generateKeyPair('RS256'),
    await generateKeyPair('RS256'),
    await generateKeyPair('RS256'),
  ];
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  let keys = [tiny, await exportJWK(first.publicKey), await exportJWK(second.publicKey)];
  provider.intercept = (path, _, response) => {
    if (path !== '/jwks') return false;
    response.end(JSON.stringify({ keys }));
    return true;
  };
  const signed = ({ privateKey }: typeof first, exp = HOUR_AGO + 7200) =>
    new SignJWT({ ...ALICE, iss: provider.issuer, aud: AUDIENCE, exp })
      .setProtectedHeader({ alg: 'RS256' })
      .sign(privateKey);
  for (let i = 0; i < 12; i++) assert.equal((await logIn(await signed(second))).result, 'Alice');
  assert.equal((await logIn(await signed(first))).result, 'Alice');
  assert.match((await logIn(await signed(second, HOUR_AGO))).why, /expired/);
  keys = [await exportJWK(second.publicKey), await exportJWK(third.publicKey)];
  assert.equal((await logIn(await signed(third))).result, 'Alice');
  const stranger = await generateKeyPair('RS256');
  assert.match((await logIn(await signed(stranger))).why, /a moment ago/);
});

test('a token that does not name its key, signed by nobody whom the provider has, is wrong', async (t) => {
  await using provider = await OpenIdProvider.start();
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  const { privateKey } = await generateKeyPair('RS256');
  const claims = { ...ALICE, iss: provider.issuer, aud: AUDIENCE, exp: HOUR_AGO + 7200 };
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
  const { result, why } = await logIn(token);
  assert.equal(result, '535 5.7.8');
  assert.match(why, /signature/);
});

test('the certificate of the provider is verified, against the authorities that are configured', async (t) => {
  const authority = await createAuthority();
  const tls = await authority.issue({ names: ['127.0.0.1'] });
  await using provider = await OpenIdProvider.start({ tls });
  await using dir = await tempDir();
  const ca = join(dir.path, 'ca.pem');
  await writeFile(ca, authority.ca);
  const token = await provider.tokenFor('Alice');
  const trusting = await policyFor(t, { issuer: provider.issuer, ca });
  assert.equal((await trusting.logIn(token)).result, 'Alice');
  const { logIn } = await policyFor(t, { issuer: provider.issuer });
  const { result, why } = await logIn(token);
  assert.equal(result, '454 4.7.0');
  assert.match(why, /certificate|self-signed/);
});

/** A server that is no provider: what it says, and what the log says of it. */
async function impostor(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const tiny = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
type Answer = (path: string, issuer: string) => { status?: number; headers?: Record<string, string>; body: string };
const metadata = (issuer: string, more: object = {}) => JSON.stringify({ issuer, jwks_uri: `${issuer}/keys`, ...more });
const keysAre =
  (body: string): Answer =>
  (path, issuer) => ({ body: path === '/keys' ? body : metadata(issuer) });
const IMPOSTORS: [name: string, answer: Answer, why: RegExp][] = [
  ['no JSON', () => ({ body: '<html>' }), /something else than the metadata/],
  ['a number', () => ({ body: '1' }), /something else than the metadata/],
  ['an error', () => ({ status: 500, body: '' }), /answered with status 500/],
  ['nothing of the kind', () => ({ status: 404, body: '' }), /oauth-authorization-server answered with status 404/],
  ['a redirect', () => ({ status: 302, headers: { location: 'http://127.0.0.1:1/' }, body: '' }), /status 302/],
  ['a megabyte', () => ({ body: `"${'x'.repeat(1 << 20)}"` }), /larger than 256 KB/],
  ['another issuer', (_, issuer) => ({ body: metadata(`${issuer}/`) }), /calls itself/],
  [
    'keys in clear text',
    (_, issuer) => ({ body: metadata(issuer, { jwks_uri: 'http://id.test/keys' }) }),
    /not an https URL/,
  ],
  [
    'keys in a file',
    (_, issuer) => ({ body: metadata(issuer, { jwks_uri: 'file:///etc/passwd' }) }),
    /not an https URL/,
  ],
  ['keys nowhere', (_, issuer) => ({ body: metadata(issuer, { jwks_uri: 7 }) }), /something else than the metadata/],
  ['no keys', keysAre('{"keys":{}}'), /something else than a set of keys/],
  [
    '10,000 keys',
    keysAre(JSON.stringify({ keys: Array(10_000).fill({ kty: 'RSA' }) })),
    /something else than a set of keys/,
  ],
  ['brackets without end', keysAre('['.repeat(200_000)), /something else than a set of keys/],
  ['a key without its numbers', keysAre('{"keys":[{"kty":"RSA","kid":"first"}]}'), /its key cannot be used/],
  ['a key that is too short', keysAre(JSON.stringify({ keys: [{ ...tiny, kid: 'first' }] })), /its key cannot be used/],
];

for (const [name, answer, why] of IMPOSTORS) {
  test(`a provider that answers with ${name} defers log-ins and gets a clear word in the log`, async (t) => {
    await using real = await OpenIdProvider.start();
    let issuer = '';
    issuer = await impostor(t, (request, response) => {
      const { status = 200, headers = {}, body } = answer(request.url ?? '', issuer);
      response.writeHead(status, headers).end(body);
    });
    const { logIn } = await policyFor(t, { issuer });
    const refused = await logIn(await real.sign({ ...ALICE, iss: issuer }));
    assert.equal(refused.result, '454 4.7.0', refused.why);
    assert.match(refused.why, why);
  });
}

for (const [name, drip] of [
  ['says nothing', false],
  ['sends a byte now and then', true],
] as const) {
  test(`a provider that ${name} costs a log-in five seconds, however many wait`, async (t) => {
    await using real = await OpenIdProvider.start();
    let asked = 0;
    const issuer = await impostor(t, (_, response) => {
      asked++;
      if (!drip) return;
      const timer = setInterval(() => response.write(' '), 200);
      response.on('close', () => clearInterval(timer));
    });
    const { logIn } = await policyFor(t, { issuer });
    const token = await real.sign({ ...ALICE, iss: issuer });
    const began = performance.now();
    for (const { result, why } of await Promise.all(Array.from({ length: 50 }, () => logIn(token)))) {
      assert.equal(result, '454 4.7.0');
      assert.match(why, /no complete answer in time/);
    }
    assert.ok(performance.now() - began < 9000);
    assert.equal(asked, 1);
  });
}
