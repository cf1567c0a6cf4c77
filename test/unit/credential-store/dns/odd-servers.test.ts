import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Rcode, Type } from '#shared/dns/message.ts';
import { address, answerTo, FakeDns, type Handler, pointer, type Query, txt } from '#test/kit/dns/fake-dns.ts';
import { DnsFixture, KEY, NAME, resolving, right, saying, silent, VALUE, verdicts } from './fixture.ts';

/** Name servers that are not as they should be, or not to be reached, and yet serve verifiers well. */

const withEdns = (query: Query): boolean => query.additionals.some((r) => r.type === Type.OPT);
/** `answer` to a query with EDNS, what is right to one without. */
const withoutEdns =
  (answer: Handler): Handler =>
  (query) =>
    withEdns(query) ? answer(query) : right(query);
/** BADVERS is 1 in the upper bits, which stand in the TTL of the OPT record, and 0 in the header. */
const badVersion = saying({
  additionals: [{ name: '', type: Type.OPT, class: 1232, ttl: 0x01000000, rdata: Buffer.alloc(0) }],
});
/** Without the question, as some refuse. */
const bare: Handler = (query) => {
  const answer = answerTo(query, { rcode: Rcode.FORMERR, authoritative: false }).subarray(0, 12);
  answer.writeUInt16BE(0, 4);
  return answer;
};

describe('a name server that is odd', () => {
  let dns: DnsFixture;
  before(async () => {
    dns = await DnsFixture.start();
  });
  afterEach(() => dns.reset());
  after(() => dns[Symbol.asyncDispose]());

  const odd: [string, Handler][] = [
    ['answers FORMERR to EDNS', withoutEdns(saying({ rcode: Rcode.FORMERR }))],
    ['answers FORMERR to EDNS, with its header alone', withoutEdns(bare)],
    ['answers NOTIMP to EDNS', withoutEdns(saying({ rcode: Rcode.NOTIMP }))],
    ['answers BADVERS to EDNS', withoutEdns(badVersion)],
    ['drops queries with EDNS', withoutEdns(silent)],
    [
      'drops queries with EDNS, also by TCP',
      withoutEdns((query) => (query.transport === 'udp' ? answerTo(query, { truncated: true }) : undefined)),
    ],
    [
      'sends bytes after the message',
      async (query) => Buffer.concat([(await right(query)) as Buffer, Buffer.alloc(3)]),
    ],
  ];
  for (const [what, handler] of odd) {
    test(`does not keep a key from being proven: it ${what}`, async () => {
      dns.ns2.handler = handler;
      const verdict = await dns.check();
      assert.deepEqual([verdict.verdict, verdict.servers.length], ['ok', 2], verdict.summary);
    });
  }

  test('is believed when it refuses a query without EDNS too', async () => {
    dns.ns2.handler = saying({ rcode: Rcode.FORMERR });
    assert.match((await dns.check()).summary, /ns2.* answers FORMERR/);
    dns.ns2.handler = badVersion;
    assert.match((await dns.check()).summary, /ns2.* answers (BADVERS|RCODE 16)/);
  });
});

describe('a name server with two addresses', () => {
  let dns: DnsFixture;
  let second: FakeDns;
  before(async () => {
    dns = await DnsFixture.start();
    second = await FakeDns.start(silent, '127.0.0.5', dns.ns1.port);
  });
  afterEach(() => dns.reset());
  after(() => Promise.all([dns[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]));

  /** The same resolver, and one more address of ns1. */
  const withSecond: Handler = (query) => {
    const [{ name, type } = { name: '', type: 0 }] = query.questions;
    if (name !== 'ns1.example.com' || type !== Type.A) return resolving()(query);
    return answerTo(query, { answers: [address(name, '127.0.0.2'), address(name, '127.0.0.5')] });
  };

  test('does not hold a key when one of them is silent from here', async () => {
    dns.resolver.handler = withSecond;
    second.handler = silent;
    const verdict = await dns.check();
    assert.equal(verdict.verdict, 'ok', verdict.summary);
    assert.deepEqual(verdicts(verdict), ['ns1.example.com (127.0.0.2): ok', 'ns2.example.com (127.0.0.3): ok']);
    assert.ok(second.queries.length > 0);
  });

  test('holds it when one of them answers without the key, or both are silent', async () => {
    dns.resolver.handler = withSecond;
    second.handler = saying({ rcode: Rcode.NXDOMAIN });
    assert.match((await dns.check()).summary, /ns1\.example\.com \(127\.0\.0\.5\) has no TXT record there/);
    second.handler = silent;
    dns.ns1.handler = silent;
    const verdict = await dns.check();
    assert.equal(verdict.verdict, 'unreachable', verdict.summary);
    assert.equal(verdict.servers.find((s) => s.verdict === 'unreachable')?.host, 'ns1.example.com');
  });

  test('what a server answers is named before one that is silent', async () => {
    dns.ns1.handler = silent;
    dns.ns2.handler = saying({ rcode: Rcode.NXDOMAIN });
    const verdict = await dns.check();
    assert.deepEqual([verdict.verdict, /ns2.* has no TXT record/.test(verdict.summary)], ['missing', true]);
  });
});

describe('what a wildcard makes up', () => {
  let dns: DnsFixture;
  before(async () => {
    dns = await DnsFixture.start();
  });
  afterEach(() => dns.reset());
  after(() => dns[Symbol.asyncDispose]());

  const REVOKED_FOR_ALL = 'v=DKIM1; p=';
  /** `*._domainkey.example.com TXT …`, and records of our name, which hide it. */
  const wildcard =
    (made: string[], own: string[] = []): Handler =>
    (query) => {
      const name = query.questions[0]?.name ?? '';
      const texts = name === NAME && own.length > 0 ? own : made;
      return answerTo(query, { answers: texts.map((text) => txt(name, text)) });
    };
  const check = async (kind: 'key' | 'revoked' | 'absent', handler: Handler): Promise<string> => {
    for (const server of [dns.ns1, dns.ns2]) server.handler = handler;
    return (await dns.check({ ...KEY, kind })).verdict;
  };

  test('is not our record: a deleted key is gone', async () => {
    assert.equal(await check('absent', wildcard([REVOKED_FOR_ALL])), 'ok');
    assert.equal(await check('absent', wildcard(['v=DKIM1; p=c29tZWJvZHk=', 'more'])), 'ok');
    const alias: Handler = (q) =>
      answerTo(q, { answers: [pointer(Type.CNAME, q.questions[0]?.name ?? '', 's1.example.net')] });
    assert.equal(await check('absent', alias), 'ok');
  });

  test('does not conflict with a record that is still to come', async () => {
    assert.equal(await check('key', wildcard([REVOKED_FOR_ALL])), 'missing');
    assert.equal(await check('key', wildcard(['v=spf1 -all'])), 'missing');
    assert.equal(await check('key', wildcard(['v=spf1 -all'], [VALUE])), 'ok');
  });

  test('does not hide a record of the name itself', async () => {
    assert.equal(await check('absent', wildcard([REVOKED_FOR_ALL], ['v=DKIM1; k=ed25519; p='])), 'different');
    assert.equal(await check('key', wildcard(['v=spf1 -all'], [REVOKED_FOR_ALL])), 'different');
  });

  test('is not assumed of a server that answers for nothing but the name', async () => {
    const only: Handler = (query) =>
      query.questions[0]?.name === NAME ? answerTo(query, { answers: [txt(NAME, REVOKED_FOR_ALL)] }) : undefined;
    assert.equal(await check('absent', only), 'different');
  });

  test('counts where it is our key: verifiers accept what is signed with it', async () => {
    assert.equal(await check('absent', wildcard([VALUE])), 'different');
    assert.equal(await check('revoked', wildcard([VALUE])), 'different');
    assert.equal(await check('revoked', wildcard([REVOKED_FOR_ALL])), 'ok');
  });
});
