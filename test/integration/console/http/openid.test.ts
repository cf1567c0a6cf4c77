import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SignInProvider, type Visitor, WEB_CLIENT } from '#test/kit/openid/sign-in-provider.ts';

/** Signing in to the console at a real OpenID provider. */

let site: ConsoleSite;
let provider: SignInProvider;
before(async () => {
  const port = await freePort();
  provider = await SignInProvider.start(`https://localhost:${port}/api/sign-in/openid/callback`);
  site = await ConsoleSite.start({
    consolePort: port,
    console: `  openid: { issuer: "${provider.issuer}", client-id: ${WEB_CLIENT.id}, client-secret: "${WEB_CLIENT.secret}" }\n`,
    people: `people:
    - { user: alice@example.com, role: operator }
    - { user: dora@example.com, role: viewer, domains: [example.com] }`,
  });
});
after(async () => {
  await site[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

/** What a browser does at the provider: it follows each redirection with its cookies, until that leads back to the console. */
async function throughProvider(start: string): Promise<string> {
  const cookies = new Map<string, string>();
  for (let url = start, hops = 0; hops < 10; hops++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    url = new URL(response.headers.get('location') ?? '', url).href;
    if (!url.startsWith(provider.issuer)) return url;
  }
  throw new Error('the provider leads nowhere');
}

type Way = { browser: ConsoleClient; back: string };

/** The way to the provider and what it answers; the browser has not come back yet. */
async function go(visitor: Visitor): Promise<Way> {
  provider.visitor = visitor;
  const browser = site.client();
  const { status, headers } = await browser.get('/api/sign-in/openid');
  assert.equal(status, 302);
  return { browser, back: await throughProvider(headers.location ?? '') };
}

async function comeBack({ browser, back }: Way): Promise<string | undefined> {
  const { pathname, search } = new URL(back);
  return (await browser.get(`${pathname}${search}`)).headers.location;
}

const REFUSED = '/sign-in?refused=openid';

describe('an OpenID provider', () => {
  test('is one of the ways to sign in', async () => {
    using browser = site.client();
    const { ways } = (await browser.get('/api/sign-in')).json as { ways: string[] };
    assert.deepEqual(ways, ['password', 'token', 'link', 'openid']);
  });

  test('is asked for a code with PKCE, state and nonce', async () => {
    using browser = site.client();
    const { headers } = await browser.get('/api/sign-in/openid');
    const { searchParams } = new URL(headers.location ?? '');
    assert.equal(searchParams.get('response_type'), 'code');
    assert.equal(searchParams.get('code_challenge_method'), 'S256');
    for (const name of ['code_challenge', 'state', 'nonce'])
      assert.ok((searchParams.get(name)?.length ?? 0) > 30, name);
    const [cookie = ''] = headers['set-cookie'] ?? [];
    assert.match(cookie, /^__Host-sealpost-openid=[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  });

  test('says who somebody is; role and domains are those of console.people', async () => {
    const way = await go({ user: 'u1', email: 'dora@example.com', verified: true });
    assert.equal(await comeBack(way), '/');
    const { person, role, domains } = (await way.browser.get('/api/session')).json as Record<string, unknown>;
    assert.deepEqual([person, role, domains], ['dora@example.com', 'viewer', ['example.com']]);
  });

  for (const [what, visitor] of [
    ['somebody without an entry', { user: 'u2', email: 'mallory@example.com', verified: true }],
    ['an address that it has not verified', { user: 'u3', email: 'alice@example.com', verified: false }],
    ['an address of which it does not say whether it has verified it', { user: 'u4', email: 'alice@example.com' }],
    ['nobody in particular', { user: 'alice@example.com' }],
  ] as const) {
    test(`signs nobody in who is ${what}`, async () => {
      const way = await go(visitor);
      assert.equal(await comeBack(way), REFUSED);
      assert.equal((await way.browser.get('/api/session')).status, 401);
    });
  }

  const ALICE = { user: 'u5', email: 'alice@example.com', verified: true };

  test('sends back the browser that went there, and no other, once', async () => {
    const way = await go(ALICE);
    using thief = site.client();
    assert.equal(await comeBack({ ...way, browser: thief }), REFUSED);
    const cookies = [...way.browser.cookies];
    assert.equal(await comeBack(way), '/');
    for (const [name, value] of cookies) way.browser.cookies.set(name, value);
    assert.equal(await comeBack(way), REFUSED);
  });

  test('is not believed with another code, state or issuer', async () => {
    for (const [name, value] of [
      ['code', 'another'],
      ['state', 'another'],
      ['iss', 'https://evil.example'],
    ] as const) {
      const way = await go(ALICE);
      const url = new URL(way.back);
      url.searchParams.set(name, value);
      assert.equal(await comeBack({ ...way, back: url.href }), REFUSED, name);
      assert.equal((await way.browser.get('/api/session')).status, 401);
    }
  });

  test('that says no is told in the log alone', async () => {
    const way = await go(ALICE);
    const url = new URL(way.back);
    url.search = '';
    url.searchParams.set('error', 'access_denied');
    assert.equal(await comeBack({ ...way, back: url.href }), REFUSED);
  });
});

test('a provider that does not answer leads back to the page, and the log says why', async () => {
  await using alone = await ConsoleSite.start({
    console: '  openid: { issuer: "http://127.0.0.1:1", client-id: sealpost }\n',
  });
  using browser = alone.client();
  const { status, headers } = await browser.get('/api/sign-in/openid');
  assert.deepEqual([status, headers.location], [302, REFUSED]);
  await alone.node.programs.get('all')?.waitForOutput(/127\.0\.0\.1:1 does not say how to sign in: .*ECONNREFUSED/);
});
