import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { DnsVerdict } from '#services/credential-store/dns/proof.ts';
import { Type } from '#shared/dns/message.ts';
import { answerTo, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';
import { DnsFixture, inCapitals, KEY, NAME, P, right, saying, silent, VALUE, verdicts, withTxt } from './fixture.ts';

describe('the proof at the servers of one zone', () => {
  let dns: DnsFixture;
  before(async () => {
    dns = await DnsFixture.start();
  });
  afterEach(() => dns.reset());
  after(() => dns[Symbol.asyncDispose]());

  test('asks each name server of the zone itself, without recursion', async () => {
    const start = Date.now();
    const verdict = await dns.check();
    assert.equal(verdict.verdict, 'ok', verdict.summary);
    assert.equal(verdict.summary, `${NAME}: has exactly this key: so say all servers asked (2)`);
    assert.deepEqual(verdicts(verdict), ['ns1.example.com (127.0.0.2): ok', 'ns2.example.com (127.0.0.3): ok']);
    assert.deepEqual([verdict.name, verdict.viaResolver], [NAME, false]);
    assert.ok(verdict.at >= start && verdict.at <= Date.now());
    assert.equal(dns.ns2.queries.length, 1);
    assert.deepEqual(dns.ns2.queries[0]?.questions, [{ name: NAME, type: Type.TXT }]);
    assert.equal(dns.ns2.queries[0].bytes.readUInt16BE(2), 0);
    const [opt] = dns.ns2.queries[0].additionals;
    assert.deepEqual([opt?.type, opt?.class], [Type.OPT, 1232]);
  });

  /** What the second server does, the verdict, and a piece of the summary. */
  const second: [string, Handler, DnsVerdict['verdict'], RegExp][] = [
    [
      'does not have it yet',
      saying({ rcode: 3 }),
      'missing',
      /^\S+: ns2\.example\.com \(127\.0\.0\.3\) has no TXT record there \(1 of 2 servers are right\)$/,
    ],
    ['has records of another kind only', saying({}), 'missing', /no TXT record/],
    [
      'has the record of another name',
      saying({ answers: [txt('s2._domainkey.example.com', VALUE)] }),
      'missing',
      /no TXT/,
    ],
    ['has an old key', withTxt(VALUE.replace('11q', '22q')), 'different', /ns2.*another key/],
    ['has two', withTxt(VALUE, 'v=DKIM1; k=ed25519; p='), 'duplicate', /2 TXT records/],
    ['has rubbish', withTxt('hello'), 'malformed', /not a key record/],
    ['is not a server of the zone', saying({ rcode: 5 }), 'error', /answers REFUSED.*lame delegation.*example\.com/],
    ['is broken', saying({ rcode: 2 }), 'error', /answers SERVFAIL/],
    [
      'answers from a cache',
      (q) => answerTo(q, { authoritative: false, answers: [txt(NAME, VALUE)] }),
      'error',
      /without authority.*lame/,
    ],
    [
      'hands on to others',
      saying({ authoritative: false, authorities: [pointer(Type.NS, 'com', 'a.example')] }),
      'error',
      /lame/,
    ],
    ['is silent', silent, 'unreachable', /no answer within 0\.4 s/],
    [
      'has an alias for nothing',
      saying({ answers: [pointer(Type.CNAME, NAME, 'gone.invalid')] }),
      'error',
      /knows no name servers of gone\.invalid/,
    ],
    [
      'cuts, and is silent by TCP',
      (q) => (q.transport === 'udp' ? answerTo(q, { truncated: true }) : undefined),
      'unreachable',
      /too long for UDP, and by TCP: no answer.*allow TCP to its port/,
    ],
    [
      'cuts, and hangs up',
      (q) => (q.transport === 'udp' ? answerTo(q, { truncated: true }) : 'close'),
      'unreachable',
      /closed the connection|ECONNRESET/,
    ],
    [
      'has another id',
      (q) => answerTo(q, { id: q.id ^ 1, answers: [txt(NAME, VALUE)] }),
      'malformed',
      /2 datagrams came, none of them/,
    ],
    [
      'answers another question',
      (q) => answerTo(q, { question: { name: 'x.example', type: Type.TXT }, answers: [txt(NAME, VALUE)] }),
      'malformed',
      /none of them/,
    ],
    ['asks back', (q) => q.bytes, 'malformed', /none of them/],
    [
      'has a TXT string that ends after its record',
      saying({ answers: [{ ...txt(NAME, VALUE), rdata: Buffer.from('\x09abc') }] }),
      'malformed',
      /ends after its record/,
    ],
    [
      'has another id by TCP',
      (q) => answerTo(q, q.transport === 'udp' ? { truncated: true } : { id: q.id ^ 1 }),
      'malformed',
      /another question/,
    ],
  ];
  for (const [what, handler, expected, summary] of second) {
    test(`${expected}: the second server ${what}`, async () => {
      dns.ns2.handler = handler;
      const verdict = await dns.check();
      assert.equal(verdict.verdict, expected, verdict.summary);
      assert.match(verdict.summary, summary);
      assert.equal(verdict.servers[0]?.verdict, 'ok');
      assert.equal(verdict.viaResolver, false);
    });
  }

  const fine: [string, Handler][] = [
    [
      'splits the strings in odd places',
      saying({ answers: [txt(NAME, 'v', '', '=DKIM1; k=ed255', `19; p=${P.slice(0, 7)}`, P.slice(7))] }),
    ],
    [
      'cuts, and has it by TCP',
      (q) => answerTo(q, q.transport === 'udp' ? { truncated: true } : { answers: [txt(NAME, VALUE)] }),
    ],
    [
      'cuts within the record',
      (q) =>
        q.transport === 'udp'
          ? answerTo(q, { truncated: true, answers: [txt(NAME, VALUE)] }).subarray(0, 60)
          : right(q),
    ],
    [
      'answers after forged answers',
      (q) => [
        answerTo(q, { id: q.id ^ 1 }),
        Buffer.alloc(3),
        Buffer.alloc(70),
        answerTo(q, { answers: [txt(NAME, VALUE)] }),
      ],
    ],
    ['writes names in capitals', (q) => inCapitals(answerTo(q, { answers: [txt(NAME, VALUE)] }))],
    ['has an alias into another zone', saying({ rcode: 3, answers: [pointer(Type.CNAME, NAME, 's1.example.net')] })],
  ];
  for (const [what, handler] of fine) {
    test(`ok: the second server ${what}`, async () => {
      dns.ns2.handler = handler;
      const verdict = await dns.check();
      assert.equal(verdict.verdict, 'ok', verdict.summary);
    });
  }

  test('a datagram that got lost is sent again', async () => {
    dns.ns2.handler = (query) => (dns.ns2.queries.length === 1 ? undefined : right(query));
    assert.equal((await dns.check()).verdict, 'ok');
    assert.equal(dns.ns2.queries.length, 2);
  });

  test('absent and revoked', async () => {
    assert.equal((await dns.check({ ...KEY, kind: 'absent' })).verdict, 'different');
    dns.ns1.handler = saying({ rcode: 3 });
    const verdict = await dns.check({ ...KEY, kind: 'absent' });
    assert.match(verdict.summary, /ns2.* still has a key record there/);
    dns.ns2.handler = saying({ rcode: 3 });
    assert.equal((await dns.check({ ...KEY, kind: 'absent' })).verdict, 'ok');
    assert.equal((await dns.check({ ...KEY, kind: 'revoked' })).verdict, 'missing');
    for (const server of [dns.ns1, dns.ns2]) server.handler = withTxt('v=DKIM1; p=');
    assert.equal((await dns.check({ ...KEY, kind: 'revoked' })).verdict, 'ok');
  });
});
