import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { checkRecord, type DnsVerdict } from '#services/credential-store/dns/proof.ts';
import { Type } from '#shared/dns/message.ts';
import { answerTo, FakeDns, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import {
  DnsFixture,
  inCapitals,
  KEY,
  NAME,
  resolving,
  right,
  saying,
  silent,
  VALUE,
  verdicts,
  withTxt,
} from './fixture.ts';

describe('the proof where the servers are to be found', () => {
  let dns: DnsFixture;
  before(async () => {
    dns = await DnsFixture.start();
  });
  afterEach(() => dns.reset());
  after(() => dns[Symbol.asyncDispose]());

  describe('of an alias that must stand there', () => {
    const cname = 's1.example.net';
    const alias = (target = cname): Handler => saying({ answers: [pointer(Type.CNAME, NAME, target)] });
    /** What the second server does, what the target's does, the verdict, and a piece of the summary. */
    const cases: [string, Handler, Handler, DnsVerdict['verdict'], RegExp][] = [
      ['right', alias(), right, 'ok', /exactly this key: so say all servers asked \(3\)/],
      [
        'in capitals',
        (q) => inCapitals(answerTo(q, { answers: [pointer(Type.CNAME, NAME, cname)] })),
        right,
        'ok',
        /./,
      ],
      [
        'right, with the target’s record in the answer',
        saying({ answers: [pointer(Type.CNAME, NAME, cname), txt(cname, VALUE)] }),
        right,
        'ok',
        /./,
      ],
      ['missing', saying({ rcode: 3 }), right, 'missing', /ns2.*no alias \(CNAME\) there for s1\.example\.net/],
      [
        'for something else',
        alias('s1.example.org'),
        right,
        'different',
        /ns2.*for s1\.example\.org, and it must be for s1\.example\.net/,
      ],
      ['a TXT record', withTxt(VALUE), right, 'different', /ns2.*has a TXT record there, and it must be an alias/],
      [
        'right, and the target is missing',
        alias(),
        saying({ rcode: 3 }),
        'missing',
        /ns\.example\.net \(127\.0\.0\.4\) has no TXT record/,
      ],
      ['right, and the target is silent', alias(), silent, 'ok', /asked through a resolver/],
    ];
    for (const [what, at2, atTarget, expected, summary] of cases) {
      test(`${expected}: ${what}`, async () => {
        dns.ns1.handler = alias();
        dns.ns2.handler = at2;
        dns.other.handler = atTarget;
        if (atTarget === silent) dns.resolver.handler = resolving({ answers: [txt(cname, VALUE)] });
        const verdict = await dns.check(KEY, { cname });
        assert.equal(verdict.verdict, expected, verdict.summary);
        assert.match(verdict.summary, summary);
      });
    }

    test('an alias that leads in a circle is an error', async () => {
      for (const server of [dns.ns1, dns.ns2]) server.handler = alias();
      dns.other.handler = saying({ answers: [pointer(Type.CNAME, cname, NAME)] });
      const verdict = await dns.check();
      assert.equal(verdict.verdict, 'error', verdict.summary);
      assert.match(verdict.summary, /aliases in a circle/);
    });

    test('an absent record need have no alias', async () => {
      for (const server of [dns.ns1, dns.ns2]) server.handler = saying({ rcode: 3 });
      assert.equal((await dns.check({ ...KEY, kind: 'absent' }, { cname })).verdict, 'ok');
    });
  });

  describe('where no name server can be reached', () => {
    test('the resolver answers in their place, and the verdict says so', async () => {
      for (const server of [dns.ns1, dns.ns2]) server.handler = silent;
      const verdict = await dns.check();
      assert.deepEqual([verdict.verdict, verdict.viaResolver], ['ok', true], verdict.summary);
      assert.deepEqual(verdicts(verdict), [`resolver ${dns.resolver.server}: ok`]);
      assert.match(verdict.summary, /asked through a resolver, since no name server of the zone could be reached/);
    });

    test('the resolver follows aliases, and the one that must be there is checked', async () => {
      for (const server of [dns.ns1, dns.ns2]) server.handler = silent;
      const chain = [pointer(Type.CNAME, NAME, 'a.example'), pointer(Type.CNAME, 'a.example', 'b.example')];
      dns.resolver.handler = resolving({ answers: [...chain, txt('b.example', VALUE)] });
      assert.equal((await dns.check(KEY, { cname: 'a.example' })).verdict, 'ok');
      assert.equal((await dns.check(KEY, { cname: 'b.example' })).verdict, 'different');
      dns.resolver.handler = resolving({ answers: [...chain, pointer(Type.CNAME, 'b.example', NAME)] });
      assert.equal((await dns.check(KEY, { cname: 'a.example' })).verdict, 'error');
      dns.resolver.handler = resolving({ rcode: 3 });
      assert.equal((await dns.check()).verdict, 'missing');
    });

    test('but not where the configuration names the servers', async () => {
      dns.ns1.handler = silent;
      const zones = [{ name: 'example.com', servers: [dns.ns1.server] }];
      const verdict = await checkRecord(dns.config(zones), NAME, KEY);
      assert.deepEqual([verdict.verdict, verdict.viaResolver], ['unreachable', false], verdict.summary);
      assert.deepEqual(verdicts(verdict), [`${dns.ns1.server}: unreachable`]);
      assert.equal(dns.resolver.queries.length, 0);
    });
  });

  test('the servers of the nearest configured zone are asked in place of the name servers', async () => {
    const zones = [
      { name: 'com', servers: ['127.0.0.1:1'] },
      { name: 'example.com', servers: [dns.ns1.server, dns.other.server] },
      { name: 'le.com', servers: ['127.0.0.1:1'] },
    ];
    const verdict = await checkRecord(dns.config(zones), NAME.toUpperCase(), KEY);
    assert.deepEqual(verdicts(verdict), [`${dns.ns1.server}: ok`, `${dns.other.server}: ok`]);
    dns.other.handler = saying({ rcode: 5 });
    assert.match(
      (await checkRecord(dns.config(zones), NAME, KEY)).summary,
      /dns\.zones names it as a server of example\.com/,
    );
  });

  test('a name server without an address cannot be reached', async () => {
    const usual = resolving();
    dns.resolver.handler = (query) => {
      const { name, type } = query.questions[0] ?? {};
      const homeless = name === 'example.com' && type === Type.NS;
      return homeless
        ? answerTo(query, {
            answers: ['ns1.example.com', 'ns9.example.com'].map((ns) => pointer(Type.NS, 'example.com', ns)),
          })
        : usual(query);
    };
    const verdict = await dns.check();
    assert.equal(verdict.verdict, 'unreachable', verdict.summary);
    assert.match(verdict.summary, /ns9\.example\.com has no address/);
    const answers = dns.resolver.handler;
    dns.resolver.handler = (q) => (q.questions[0]?.name === 'ns9.example.com' ? answerTo(q, { rcode: 2 }) : answers(q));
    assert.match(
      (await dns.check()).summary,
      /ns9\.example\.com has no address that can be found: resolver .* SERVFAIL/,
    );
  });

  /** What the only resolver does, the verdict, and a piece of the summary. */
  const resolvers: [string, Handler, DnsVerdict['verdict'], RegExp][] = [
    [
      'is silent',
      silent,
      'unreachable',
      /resolver 127\.0\.0\.1:\d+ was asked for s1\._domainkey\.example\.com: no answer/,
    ],
    ['is broken', saying({ rcode: 2 }), 'error', /resolver 127\.0\.0\.1:\d+ answers SERVFAIL/],
    ['knows nothing', saying({ rcode: 3 }), 'error', /knows no name servers of/],
    ['talks rubbish', () => Buffer.from('rubbish'), 'malformed', /none of them an answer/],
  ];
  for (const [what, handler, expected, summary] of resolvers) {
    test(`${expected}: the resolver ${what}`, async () => {
      dns.resolver.handler = handler;
      const verdict = await dns.check();
      assert.deepEqual([verdict.verdict, verdict.viaResolver], [expected, false], verdict.summary);
      assert.match(verdict.summary, summary);
    });
  }

  test('a resolver that does not answer is passed over, once', async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    await using mute = await FakeDns.start(silent);
    const servers = [dead, mute.server, dns.resolver.server];
    const verdict = await checkRecord({ ...dns.config(), servers }, NAME, KEY, { port: dns.ns1.port });
    assert.equal(verdict.verdict, 'ok', verdict.summary);
    assert.equal(new Set(mute.queries.map((q) => q.id)).size, 1);
  });

  test('a name that DNS cannot carry is an error', async () => {
    for (const name of ['a..b', `${'x'.repeat(64)}.example.com`, 'é.example', `${'x.'.repeat(130)}com`]) {
      const verdict = await checkRecord(dns.config(), name, KEY);
      assert.equal(verdict.verdict, 'error');
      assert.match(verdict.summary, /is not a domain name/);
    }
  });
});
