import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { createStsPolicies } from '#services/router/delivery/tls-policy/sts/discovery.ts';
import type { KeptPolicy } from '#services/router/delivery/tls-policy/sts/kept.ts';
import type { StsAnswer } from '#services/router/delivery/tls-policy/sts/policies.ts';
import { silentLogger } from '#shared/log.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { POLICY, PolicySite, type Published } from '#test/kit/tls/policy-site.ts';
import { testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** What is made of web servers of every kind: the policy, or why there is none. */

const site = await PolicySite.start();
test.after(() => site[Symbol.asyncDispose]());

async function find(domain: string, allowLocal = ['127.0.0.0/8'], timeoutMs = 5000): Promise<StsAnswer> {
  const kept = new Map<string, KeptPolicy>();
  const policies = createStsPolicies({
    settings: testSettings({ delivery: { 'allow-local': allowLocal } }),
    log: silentLogger,
    resolver: site.resolver(),
    policies: { get: (name) => kept.get(name), keep: (name, one) => kept.set(name, one), domains: () => kept.keys() },
    webServers: { ...site.webServers, timeoutMs },
  });
  try {
    return await policies.find(domain);
  } finally {
    policies.stop();
  }
}

const by = site.authority;
const stranger = await issue('Another authority', { ca: true });
const DAY_MS = 86_400_000;
const plain = { 'content-type': 'text/plain' };

const send =
  (status: number, headers: Record<string, string>, body: string | Buffer = POLICY) =>
  (response: ServerResponse): void => {
    response.writeHead(status, headers).end(body);
  };

/** Byte after byte, for ever. */
function dribble(response: ServerResponse): void {
  response.writeHead(200, plain);
  const timer = setInterval(() => response.write('#'), 20);
  response.on('close', () => clearInterval(timer));
}

function switchProtocols({ socket }: ServerResponse): void {
  socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
}

function flood(response: ServerResponse): void {
  response.writeHead(200, plain);
  const more = (): void => {
    while (!response.destroyed && response.write('x: y\n'.repeat(1000)));
  };
  response.on('drain', more);
  more();
}

/** `enforce`, or the type of the failure and words of its reason. */
const CASES: [name: string, published: Partial<Published>, expected: string, words?: RegExp][] = [
  ['a policy', {}, 'enforce'],
  ['a policy in testing', { answer: POLICY.replace('enforce', 'testing') }, 'testing'],
  ['a policy of none', { answer: POLICY.replace('enforce', 'none') }, 'none'],
  ['a first address that nobody listens at', { addresses: ['127.0.0.87', '127.0.0.1'] }, 'enforce'],
  ['a charset', { answer: send(200, { 'content-type': 'Text/Plain ;charset=us-ascii; x=y' }) }, 'enforce'],
  ['a wildcard certificate', { certificate: await issue('w', { by, names: ['*.wildcard.test'] }) }, 'enforce'],
  ['no record', { record: [] }, 'none'],
  ['records that nobody can tell', { record: 'trouble' }, 'none'],
  ['two records', { record: ['v=STSv1; id=1', 'v=STSv1; id=2'] }, 'sts-policy-invalid', /only one/],
  ['a file that is not a policy', { answer: 'mode: enforce\n' }, 'sts-policy-invalid', /version/],
  ['a page', { answer: send(200, { 'content-type': 'text/html' }) }, 'sts-policy-invalid', /text\/html/],
  ['no media type', { answer: send(200, {}) }, 'sts-policy-invalid', /not named/],
  ['bytes that are not text', { answer: send(200, plain, Buffer.from([0xff])) }, 'sts-policy-invalid', /UTF-8/],
  ['a redirect', { answer: send(301, { location: '/x' }) }, 'sts-policy-fetch-error', /301, and redirects/],
  ['no file', { answer: send(404, plain) }, 'sts-policy-fetch-error', /answers 404/],
  ['another success', { answer: send(203, plain) }, 'sts-policy-fetch-error', /answers 203/],
  ['a file without end', { answer: flood }, 'sts-policy-fetch-error', /larger than 64 KB/],
  ['an answer that breaks off', { answer: (r) => r.destroy() }, 'sts-policy-fetch-error', /hang up|reset/],
  ['a switch of protocols', { answer: switchProtocols }, 'sts-policy-fetch-error', /answers 101/],
  ['no address', { addresses: [] }, 'sts-policy-fetch-error', /no address/],
  ['an address where nobody listens', { addresses: ['127.0.0.87'] }, 'sts-policy-fetch-error', /ECONNREFUSED/],
  [
    'the certificate of another name',
    { certificate: await issue('other.test', { by, names: ['other.test'] }) },
    ...(['sts-webpki-invalid', /not for mta-sts/] as const),
  ],
  [
    'a certificate that has the name as its subject alone',
    { certificate: await issue('mta-sts.subject.test', { by }) },
    ...(['sts-webpki-invalid', /not for mta-sts/] as const),
  ],
  [
    'a certificate of the domain and not of its web server',
    { certificate: await issue('d', { by, names: ['domain.test', '*.mta-sts.domain.test', 'mta-*.domain.test'] }) },
    ...(['sts-webpki-invalid', /not for mta-sts/] as const),
  ],
  [
    'an expired certificate',
    { certificate: await issue('e', { by, names: ['mta-sts.expired.test'], until: Date.now() - DAY_MS / 2 }) },
    ...(['sts-webpki-invalid', /expired/] as const),
  ],
  [
    'a certificate of an unknown authority',
    { certificate: await issue('u', { by: stranger, names: ['mta-sts.unknown.test'] }) },
    ...(['sts-webpki-invalid', /certificate of the web server is not valid/] as const),
  ],
];

/** Some certificates are for a name. */
const NAMES: Record<string, string> = {
  'a wildcard certificate': 'wildcard.test',
  'a certificate that has the name as its subject alone': 'subject.test',
  'a certificate of the domain and not of its web server': 'domain.test',
  'an expired certificate': 'expired.test',
  'a certificate of an unknown authority': 'unknown.test',
};

for (const [n, [name, published, expected, words = /(?:)/]] of CASES.entries()) {
  test(`${name}: ${expected}`, async () => {
    const domain = NAMES[name] ?? `d${n}.test`;
    await site.publish(domain, published);
    const answer = await find(domain);
    if (answer.kind === 'policy') assert.equal(answer.policy.mode, expected);
    else assert.equal(answer.failure?.type ?? 'none', expected, answer.failure?.reason);
    const isPassing =
      ['sts-policy-fetch-error', 'sts-webpki-invalid'].includes(expected) || published.record === 'trouble';
    assert.equal(answer.kind === 'none' && answer.unknown === true, isPassing);
    assert.match(answer.kind === 'none' ? (answer.failure?.reason ?? '') : '', words);
  });
}

test('a policy is handed on with its id, patterns and lines', async () => {
  await site.publish('whole.test', { record: 'v=STSv1; id=20260101' });
  const lines = POLICY.trim().split('\n');
  const policy = { id: '20260101', mode: 'enforce', mx: ['mx.example'], lines };
  assert.deepEqual(await find('whole.test'), { kind: 'policy', policy });
});

test('a web server that is slow, or says nothing, is given up when the time is over', async () => {
  await site.publish('slow.test', { answer: dribble });
  await site.publish('silent.test', { answer: () => undefined });
  for (const domain of ['slow.test', 'silent.test']) {
    const answer = await find(domain, undefined, 300);
    assert.ok(answer.kind === 'none');
    assert.equal(answer.unknown, true);
    assert.deepEqual(answer.failure, { type: 'sts-policy-fetch-error', reason: 'it took longer than 0.3 s' });
  }
});

test('nothing is fetched from addresses that are not public', async () => {
  const addresses = [
    '127.0.0.1',
    '10.0.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '::1',
    'fd00::1',
    '0.0.0.0',
  ];
  await site.publish('inside.test', { addresses });
  const answer = await find('inside.test', []);
  assert.ok(answer.kind === 'none');
  assert.match(answer.failure?.reason ?? '', /no address that may be connected to/);
  assert.ok(!site.asked.includes('inside.test'));
});

test('an address literal, and a domain that no record can be of, have no policy', async () => {
  for (const domain of ['[127.0.0.1]', `${'a.'.repeat(122)}test`, '']) {
    assert.deepEqual(await find(domain), { kind: 'none' });
  }
});
