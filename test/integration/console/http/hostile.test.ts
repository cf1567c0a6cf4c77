import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { ConsoleSite, PASSWORD } from '#test/kit/console/site.ts';

/** What an attacker sends to the console: nothing comes of it. */

let site: ConsoleSite;
before(async () => {
  site = await ConsoleSite.start();
});
after(async () => await site[Symbol.asyncDispose]());

/** What is sent as it stands; the answer until the server closes or falls silent. */
async function raw(bytes: string, quietMs = 500): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: site.port, rejectUnauthorized: false });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  let answer = '';
  socket.on('data', (piece) => {
    answer += piece.toString('latin1');
  });
  socket.setTimeout(quietMs, () => socket.destroy());
  socket.write(bytes, 'latin1');
  await once(socket, 'close');
  return answer;
}

const JSON_TYPE = { 'content-type': 'application/json' };

describe('other sites', () => {
  test('cannot sign a session out, or change anything in it', async () => {
    using browser = await site.person('alice');
    const origin = `https://localhost:${site.port}`;
    const attempts: Record<string, string>[] = [
      // A form, and what a script may send without asking.
      { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://evil.example' },
      { 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site', 'x-sealpost': '1' },
      // The header field alone, or the origin alone.
      { ...JSON_TYPE, 'x-sealpost': '1' },
      { ...JSON_TYPE, 'sec-fetch-site': 'same-origin' },
      { ...JSON_TYPE, 'x-sealpost': '1', 'sec-fetch-site': 'same-site', origin },
      { ...JSON_TYPE, 'x-sealpost': '1', 'sec-fetch-site': 'none', origin },
      { ...JSON_TYPE, 'x-sealpost': '1', origin: 'null' },
      { ...JSON_TYPE, 'x-sealpost': '1', origin: `${origin}.evil.example` },
      { ...JSON_TYPE, 'x-sealpost': '1', origin: `http://localhost:${site.port}` },
    ];
    for (const headers of attempts) {
      const { status } = await browser.send('/api/sign-out', { method: 'POST', headers });
      assert.equal(status, 403, JSON.stringify(headers));
      assert.equal((await browser.get('/api/session')).status, 200);
    }
  });

  test('cannot sign somebody in as somebody else', async () => {
    using browser = site.client();
    const headers = { ...JSON_TYPE, 'x-sealpost': '1', 'sec-fetch-site': 'cross-site' };
    const body = { user: 'alice', password: PASSWORD };
    assert.equal((await browser.send('/api/sign-in', { method: 'POST', body, headers })).status, 403);
    assert.equal(browser.cookie, undefined);
  });

  test('an old browser says where it comes from by Origin alone', async () => {
    using browser = await site.person('alice');
    const headers = { ...JSON_TYPE, 'x-sealpost': '1', origin: `https://localhost:${site.port}` };
    assert.equal((await browser.send('/api/sign-out', { method: 'POST', headers })).status, 200);
  });

  test('frame nothing, load nothing, and are told nothing of where people come from', async () => {
    using browser = site.client();
    for (const path of ['/', '/api/session', '/page/nothing.js']) {
      const { headers } = await browser.get(path);
      const policy = String(headers['content-security-policy']);
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.match(policy, /base-uri 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|http/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['access-control-allow-origin'], undefined);
    }
    assert.equal((await browser.get('/api/session')).headers['cache-control'], 'no-store');
  });
});

describe('paths', () => {
  const OUTSIDE = [
    '/page/../contract.ts',
    '/page/..%2fcontract.ts',
    '/page/%2e%2e/contract.ts',
    '/page/....//contract.ts',
    '/page/..\\contract.ts',
    '/page/%252e%252e/contract.ts',
    '/page//etc/passwd',
    '/page/app.ts%00.css',
    '/vendor/../../package.json',
    '/vendor/..%2f..%2fpackage.json',
    '/vendor/preact.js/../../../package.json',
    '/page/__proto__',
    '/vendor/constructor',
    '/api/../page/index.html',
    '/api/__proto__',
  ];
  for (const path of OUTSIDE) {
    test(`${path} leads nowhere`, async () => {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, answer.slice(0, 200));
      assert.doesNotMatch(answer, /defineContract|root:|"dependencies"/);
    });
  }

  test('an address that is none is refused as all else is, and not repeated', async () => {
    const answer = await raw('GET /api/keys/%zz%3Cscript/s1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 422 /);
    assert.match(answer, /"error":\{"code":"malformed"/);
    assert.doesNotMatch(answer, /script/);
  });

  test('whatever else is asked for is the document, which holds nothing of what was asked', async () => {
    using browser = site.client();
    const { status, headers, text } = await browser.get(
      '/messages/%3Cscript%3Ealert(1)%3C/script%3E?x=%22%3E%3Cimg%3E',
    );
    assert.equal(status, 200);
    assert.match(headers['content-type'] ?? '', /^text\/html/);
    assert.doesNotMatch(text, /alert|<img/);
    assert.equal((await browser.send('/messages', { method: 'DELETE' })).status, 404);
  });
});

describe('requests', () => {
  test('that are too large are refused before they are read', async () => {
    using browser = site.client();
    const { status, json } = await browser.post('/api/sign-in', { token: 'x'.repeat(70_000) });
    assert.equal(status, 413);
    assert.equal((json as { error: { code: string } }).error.code, 'too-large');
    const claimed = 'Content-Length: 999999999999\r\n';
    const answer = await raw(
      `POST /api/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Sealpost: 1\r\nSec-Fetch-Site: same-origin\r\n${claimed}\r\n{`,
    );
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(
      await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    );
  });

  test('that are no JSON, or JSON that would change what objects are', async () => {
    using browser = site.client();
    for (const body of ['{', '', '{"token":"x","__proto__":{"role":"operator"}}', '{"constructor":{"prototype":{}}}']) {
      const { status } = await browser.send('/api/sign-in', { method: 'POST', body });
      assert.equal(status, 422, body);
    }
  });

  test('that smuggle another request are refused', async () => {
    const both = 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n';
    const answer = await raw(
      `POST /api/sign-in HTTP/1.1\r\nHost: localhost\r\n${both}\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  });

  test('header fields of an answer hold nothing of a request', async () => {
    const injected = '%0d%0aSet-Cookie:%20injected=1';
    for (const path of [
      `/${injected}`,
      `/page/${injected}`,
      `/api/events?follow=${injected}`,
      `/vendor/x?${injected}`,
    ]) {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      const [head = ''] = answer.split('\r\n\r\n');
      assert.match(head, /^HTTP\/1\.1 /);
      assert.doesNotMatch(head, /injected/i);
    }
  });

  test('in clear text get no answer, and a client that falls silent keeps nobody out', async () => {
    await assert.rejects(fetch(`http://127.0.0.1:${site.port}/`));
    const silent = Array.from({ length: 50 }, () =>
      connect({ host: '127.0.0.1', port: site.port, rejectUnauthorized: false }),
    );
    await Promise.all(
      silent.map((socket) =>
        once(
          socket.on('error', () => undefined),
          'secureConnect',
        ),
      ),
    );
    using browser = site.client();
    assert.equal((await browser.get('/api/sign-in')).status, 200);
    for (const socket of silent) socket.destroy();
  });
});

test('sign-ins from one network are limited, and the limit says so', async () => {
  await using limited = await ConsoleSite.start({ config: 'authentication: { delay: 1ms }\n' });
  using browser = limited.client();
  const statuses: number[] = [];
  for (let i = 0; i < 62; i++) statuses.push((await browser.signIn({ token: `guess-${i}` })).status);
  assert.deepEqual(new Set(statuses.slice(0, 60)), new Set([401]));
  assert.deepEqual(statuses.slice(60), [429, 429]);
  using other = limited.program('robot');
  assert.equal((await other.get('/api/session')).status, 200, 'what is signed in goes on');
});
