import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { Class, Rcode, Type } from '#shared/dns/message.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import { errorText } from '#shared/errors.ts';
import { address, answerTo, FakeDns, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';

async function setup(handler: Handler) {
  const dns = await FakeDns.start(handler);
  const resolver = new DnsResolver({ servers: [dns.server], timeout: 300 });
  const resolve = mailauthResolver(resolver, { timeoutMs: 300 });
  return { dns, resolve, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

test('answers have the shapes of node:dns', async () => {
  const mx = (host: string, preference: number) => {
    const { name, rdata } = pointer(Type.NS, 'x.test', host);
    return {
      name,
      type: Type.MX,
      class: Class.IN,
      ttl: 60,
      rdata: Buffer.concat([Buffer.from([0, preference]), rdata]),
    };
  };
  await using site = await setup((query) => {
    const { type } = query.questions[0] ?? {};
    const answers = [
      address('x.test', '192.0.2.1'),
      mx('b.test', 20),
      mx('a.test', 10),
      txt('x.test', 'v=spf1 ', '-all'),
      txt('x.test', 'other'),
      pointer(Type.PTR, 'x.test', 'host.test'),
    ];
    return answerTo(query, { answers: answers.filter((record) => record.type === type) });
  });
  const { resolve } = site;
  assert.deepEqual(await resolve('x.test', 'A'), ['192.0.2.1']);
  const hosts = [
    { exchange: 'b.test', priority: 20 },
    { exchange: 'a.test', priority: 10 },
  ];
  const given = await resolve('x.test', 'MX');
  assert.deepEqual(given, hosts);
  given.reverse();
  assert.deepEqual(await resolve('x.test', 'MX'), hosts, 'what mailauth does with an answer is its own affair');
  assert.deepEqual(await resolve('x.test', 'TXT'), [['v=spf1 -all'], ['other']]);
  assert.deepEqual(await resolve('x.test', 'PTR'), ['host.test']);
});

test('there is nothing, nobody can say, and no such name can be, with the codes of node:dns', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    if (name === 'silent.test') return undefined;
    const rcodes: Record<string, number> = { 'gone.test': Rcode.NXDOMAIN, 'bad.test': 2, 'refused.test': 5 };
    return answerTo(query, { rcode: rcodes[name] ?? 0 });
  });
  const cases: [string, string][] = [
    ['gone.test', 'ENOTFOUND'],
    ['bare.test', 'ENODATA'],
    ['bad.test', 'ESERVFAIL'],
    ['refused.test', 'EREFUSED'],
    ['silent.test', 'ETIMEOUT'],
    [`${'x'.repeat(64)}.test`, 'EBADNAME'],
    ['a..test', 'EBADNAME'],
  ];
  for (const [name, code] of cases) {
    await assert.rejects(async () => await site.resolve(name, 'TXT'), { code }, name);
  }
  await assert.rejects(async () => await site.resolve('x.test', 'HINFO'), { code: 'ENOTIMP' });
  // As `errorCode` and mailauth read it.
  await assert.rejects(
    async () => await site.resolve('gone.test', 'TXT'),
    (error) => error instanceof Error && errorText(error) === 'TXT of gone.test: there is none (ENOTFOUND)',
  );
});

test('names from macros of SPF are asked for as they are, with spaces and backslashes', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return answerTo(query, { answers: [{ ...address('x', '192.0.2.1'), name }] });
  });
  assert.deepEqual(await site.resolve('a  b\\c%20.test.', 'A'), ['192.0.2.1']);
  assert.equal(site.dns.queries[0]?.questions[0]?.name, 'a\\032\\032b\\092c%20.test');
});
