import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import type { RouteConfig } from '#cluster/config/schema/schema.ts';
import { RouteTable } from '#services/router/queue/route-table.ts';
import { Routing } from '#services/router/queue/routing.ts';
import { newQueueId } from '#shared/ids.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

test('where recipients go, by the routes in force', () => {
  const settings = settingsFor('./data', {
    routes: [
      { to: 'relay.example', via: 'smtp://me@smart.example:587', password: 'pw', tls: 'required' },
      { to: 'isp.example', via: 'smtps://me@isp.example', password: 'pw', ca: './ca.pem' },
      { to: 'box.example', via: 'lmtp://127.0.0.1' },
      { to: 'dir.example', via: 'maildir:./mail' },
      { to: 'none.example', via: 'discard' },
      { to: 'kept.example', via: 'capture' },
      { to: '*', via: 'mx' },
    ],
  });
  const routing = new Routing(settings);
  for (const [address, key, kind] of [
    ['postmaster', 'mx:mx.sealpost.test', 'mx'],
    ['a@[192.0.2.1]', 'mx:[192.0.2.1]', 'mx'],
    ['"a@b"@Peer.Example.', 'mx:peer.example', 'mx'],
    ['a@bücher.example', 'mx:xn--bcher-kva.example', 'mx'],
    ['a@sub.relay.example', 'smtp://me@smart.example:587 (tls required)', 'smtp'],
    ['a@box.example', 'lmtp://127.0.0.1', 'lmtp'],
    ['a@dir.example', 'maildir:./mail', 'maildir'],
    ['a@none.example', 'discard', 'discard'],
    ['a@kept.example', 'capture', 'capture'],
  ] as const) {
    const hop = routing.nextHop(address);
    assert.deepEqual([hop?.key, hop?.spec.kind], [key, kind], address);
  }
  const smart = routing.nextHop('a@relay.example')?.spec;
  assert.equal(smart?.kind === 'smtp' && smart.password?.reveal(), 'pw');
  const isp = routing.nextHop('a@isp.example');
  assert.deepEqual([isp?.ca, isp?.spec.kind === 'smtp' && isp.spec.implicitTls], ['./ca.pem', true]);
  const capture = routing.nextHop('a@kept.example')?.spec;
  assert.equal(capture?.kind === 'capture' && capture.folder, resolve('./data/capture'));

  settings.replace({ ...settings.current, routes: [{ to: '*', via: 'discard', tls: 'opportunistic' }] });
  assert.equal(routing.nextHop('a@box.example')?.key, 'discard');
  settings.replace({ ...settings.current, routes: [{ to: '*', via: 'nonsense', tls: 'opportunistic' }] });
  assert.equal(routing.nextHop('a@box.example'), undefined);
});

const ROUTES: RouteConfig[] = ['*', 'example.com', 'eu.example.com', 'com', 'xn--bcher-kva.example'].map((to) => ({
  to,
  via: 'discard',
  tls: 'opportunistic',
}));

const CHOICES: [string, string][] = [
  ['notexample.com', 'com'],
  ['example.com.evil.test', '*'],
  ['', '*'],
  ['[192.0.2.1]', '*'],
  ['eu.example.com', 'eu.example.com'],
  ['MX.EU.Example.COM', 'eu.example.com'],
  ['aeu.example.com', 'example.com'],
  ['example.com', 'example.com'],
  ['example.com.', 'example.com'],
  ['com', 'com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['example.org', '*'],
];

for (const [domain, to] of CHOICES) {
  test(`"${domain}" takes the route to ${to}, in whatever order routes stand`, () => {
    assert.equal(new RouteTable(ROUTES).routeFor(domain).to, to);
    assert.equal(new RouteTable(ROUTES.toReversed()).routeFor(domain).to, to);
  });
}

test('mail without a route goes by MX', () => {
  assert.equal(new RouteTable([]).routeFor('example.com').via, 'mx');
  assert.equal(new RouteTable(ROUTES.slice(1, 2)).routeFor('example.org').via, 'mx');
});

test('8-bit mail is converted on its way to us, and with a signature of others nowhere else', () => {
  const routing = new Routing(
    settingsFor('./data', {
      domains: [
        { name: 'ours.example', local: true },
        { name: 'as-it-is.example', local: true },
        { name: 'signed.example', local: false },
      ],
      relay: { allow: { domains: ['inner.example', '*'] } },
      routes: [
        { to: 'as-it-is.example', via: 'smtp://domino.ours.example', '8bit': 'refuse' },
        { to: 'partner.example', via: 'smtp://mx.partner.example' },
        { to: 'box.example', via: 'lmtp://127.0.0.1' },
        { to: 'asked.example', via: 'mx', '8bit': 'convert' },
        { to: '*', via: 'smtp://smart.example' },
      ],
    }),
  );
  for (const [domain, conversion] of [
    ['ours.example', 'always'],
    ['inner.example', 'always'],
    ['sub.inner.example', 'always'],
    ['sub.ours.example', undefined],
    ['as-it-is.example', undefined],
    ['signed.example', undefined],
    ['partner.example', 'unsigned'],
    ['box.example', 'unsigned'],
    ['asked.example', 'unsigned'],
    ['elsewhere.example', undefined],
  ] as const)
    assert.equal(routing.nextHop(`a@${domain}`)?.conversion, conversion, domain);
});

test('a list of hosts is one next hop, and the password of the route goes to entries with a user alone', () => {
  const routing = new Routing(
    settingsFor('./data', {
      routes: [
        {
          to: '*',
          via: ['smtp://a.example', 'smtps://me@b.example', { hop: 'smtp://you@c.example', password: 'of c' }],
          password: 'of the route',
          tls: 'required',
        },
        { to: 'box.example', via: ['lmtp://[::1]:2424', 'lmtp://127.0.0.1'] },
      ],
    }),
  );
  const hop = routing.nextHop('x@elsewhere.example');
  assert.equal(hop?.key, 'smtp://a.example, smtps://me@b.example, smtp://you@c.example (tls required)');
  assert.ok(hop?.spec.kind === 'smtp');
  const told = [hop.spec, ...(hop.spec.others ?? [])].map(({ host, user, password }) => [
    host,
    user,
    password?.reveal(),
  ]);
  assert.deepEqual(told, [
    ['a.example', undefined, undefined],
    ['b.example', 'me', 'of the route'],
    ['c.example', 'you', 'of c'],
  ]);
  assert.deepEqual(routing.nextHop('x@box.example')?.spec, {
    kind: 'lmtp',
    host: '::1',
    port: 2424,
    others: [{ host: '127.0.0.1', port: 24 }],
  });
});

test('neighbours with weights share the mail, the same message always takes the same host first', () => {
  const routing = new Routing(
    settingsFor('./data', {
      routes: [
        {
          to: '*',
          via: [{ hop: 'smtp://a', weight: 3 }, { hop: 'smtp://b', weight: 1 }, 'smtp://c'],
        },
      ],
    }),
  );
  const counts = new Map<string, number>();
  for (let i = 0; i < 4000; i++) {
    const id = newQueueId();
    const { key = '' } = routing.nextHop('x@elsewhere.example', { id, reversePath: '' }) ?? {};
    assert.equal(routing.target('x@elsewhere.example', { id, reversePath: '', junk: false }).hop?.key, key);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), ['smtp://a, smtp://b, smtp://c', 'smtp://b, smtp://a, smtp://c']);
  const share = (counts.get('smtp://a, smtp://b, smtp://c') ?? 0) / 4000;
  assert.ok(share > 0.7 && share < 0.8, `the share of a is ${share}`);
});

const SENDERS: [string, { reversePath: string; user?: string }, string][] = [
  ['elsewhere.example', { reversePath: '' }, 'smtp://all'],
  ['elsewhere.example', { reversePath: 'x@other.example' }, 'smtp://somebody'],
  ['elsewhere.example', { reversePath: 'x@sub.News.example' }, 'smtp://news'],
  ['elsewhere.example', { reversePath: 'x@bad.news.example' }, 'smtp://bad-news'],
  ['elsewhere.example', { reversePath: 'x@goodnews.example' }, 'smtp://somebody'],
  ['elsewhere.example', { reversePath: 'Daily@bad.news.example' }, 'smtp://daily'],
  ['elsewhere.example', { reversePath: 'daily@bad.news.example', user: 'carol' }, 'smtp://users'],
  ['elsewhere.example', { reversePath: '', user: 'carol' }, 'smtp://users'],
  ['elsewhere.example', { reversePath: '', user: 'Alice' }, 'smtp://alice'],
  ['elsewhere.example', { reversePath: 'x@bad.news.example', user: 'alice' }, 'smtp://alice-news'],
  ['box.example', { reversePath: 'daily@bad.news.example', user: 'alice' }, 'lmtp://box'],
  ['in.shared.example', { reversePath: 'x@news.example' }, 'smtp://shared-news'],
  ['in.shared.example', { reversePath: 'x@other.example' }, 'smtp://somebody'],
];
const BY_SENDER: Partial<RouteConfig>[] = [
  { via: 'smtp://all' },
  { via: 'smtp://somebody', from: '*' },
  { via: 'smtp://news', from: 'news.example' },
  { via: 'smtp://bad-news', from: 'bad.news.example' },
  { via: 'smtp://daily', from: 'daily@bad.news.example' },
  { via: 'smtp://users', user: '*' },
  { via: 'smtp://alice', user: 'alice' },
  { via: 'smtp://alice-news', user: 'ALICE', from: 'news.example' },
  { via: 'lmtp://box', to: 'box.example' },
  { via: 'smtp://shared-news', to: 'shared.example', from: 'news.example' },
];
for (const [domain, sender, via] of SENDERS) {
  test(`${JSON.stringify(sender)} to ${domain} takes ${via}, in whatever order routes stand`, () => {
    for (const routes of [BY_SENDER, BY_SENDER.toReversed()]) {
      const routing = new Routing(settingsFor('./data', { routes: routes.map((route) => ({ to: '*', ...route })) }));
      assert.equal(routing.nextHop(`b@${domain}`, { id: '', ...sender })?.key, via);
      assert.equal(routing.nextHop(`b@${domain}`)?.key, domain === 'box.example' ? 'lmtp://box' : 'smtp://all');
    }
  });
}

test('a source alone keeps to its family, and makes connections of its own', () => {
  const routing = new Routing(
    settingsFor('./data', {
      routes: [
        { to: 'four.example', via: 'mx', source: '192.0.2.1', ehlo: 'out.example' },
        { to: 'six.example', via: 'smtp://h', source6: '2001:db8::1' },
        { to: 'both.example', via: 'lmtp://h', source: '192.0.2.1', source6: '2001:db8::1' },
        { to: 'any.example', via: 'mx', source: '192.0.2.1', family: 'any' },
        { to: '*', via: 'mx' },
      ],
    }),
  );
  for (const [name, family, key] of [
    ['four', 'ipv4', 'mx:four.example (from 192.0.2.1 out.example)'],
    ['six', 'ipv6', 'smtp://h (from 2001:db8::1)'],
    ['both', undefined, 'lmtp://h (from 192.0.2.1 2001:db8::1)'],
    ['any', undefined, 'mx:any.example (from 192.0.2.1 any)'],
  ] as const) {
    const hop = routing.nextHop(`a@${name}.example`);
    assert.deepEqual([hop?.source?.family, hop?.key], [family, key]);
  }
  assert.equal(routing.nextHop('a@other.example')?.source, undefined);
});
