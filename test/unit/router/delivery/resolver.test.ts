import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createResolver, DnsTrouble } from '#services/router/delivery/resolver.ts';
import { Class, type DnsRecord, Rcode, Type } from '#shared/dns/message.ts';
import { address, answerTo, FakeDns, type Handler, pointer } from '#test/kit/dns/fake-dns.ts';
import { testSettings } from './fixtures.ts';

async function setup(handler: Handler) {
  const dns = await FakeDns.start(handler);
  const resolver = createResolver(testSettings({ dns: { servers: [dns.server], timeout: '2s' } }));
  return {
    ...{ dns, resolver },
    [Symbol.asyncDispose]: async () => {
      resolver.close?.();
      await dns[Symbol.asyncDispose]();
    },
  };
}

const mx = (name: string, host: string): DnsRecord => {
  const { rdata } = pointer(Type.NS, name, host);
  return { name, type: Type.MX, class: Class.IN, ttl: 86_400, rdata: Buffer.concat([Buffer.from([0, 10]), rdata]) };
};
const aaaa = (name: string, last: number): DnsRecord => {
  const rdata = Buffer.from([0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), last]);
  return { name, type: Type.AAAA, class: Class.IN, ttl: 20, rdata };
};

test('a domain that is not there, one without exchangers, and one of whose servers none answers are told apart', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    const rcodes: Record<string, number> = {
      'gone.test': Rcode.NXDOMAIN,
      'bad.test': Rcode.SERVFAIL,
      'refused.test': 5,
    };
    return answerTo(query, { rcode: rcodes[name] ?? 0, answers: name === 'd.test' ? [mx(name, 'm.test')] : [] });
  });
  const { resolver } = site;
  const { exists: isThere, records } = await resolver.mx('d.test');
  assert.deepEqual([isThere, records], [true, [{ exchange: 'm.test', priority: 10 }]]);
  const exists = async (domain: string) => (await resolver.mx(domain)).exists;
  assert.deepEqual([await exists('gone.test'), await exists('bare.test')], [false, true]);
  const trouble = (ofDomain: boolean) => (error: unknown) => error instanceof DnsTrouble && error.ofDomain === ofDomain;
  await assert.rejects(resolver.mx('bad.test'), trouble(true));
  await assert.rejects(resolver.mx('refused.test'), trouble(false));
});

test('addresses of both families take turns; one family is enough, whatever is wrong with the other', async () => {
  await using site = await setup((query) => {
    const { name = '', type = 0 } = query.questions[0] ?? {};
    if (name === 'half.test' && type === Type.AAAA) return answerTo(query, { rcode: Rcode.SERVFAIL });
    const four = [address(name, '192.0.2.1'), address(name, '192.0.2.2')];
    return answerTo(query, { answers: type === Type.A ? four : [aaaa(name, 1)] });
  });
  const both = await site.resolver.addresses('both.test');
  assert.deepEqual(both.addresses, ['2001:db8::1', '192.0.2.1', '192.0.2.2']);
  assert.ok(both.ttl > 15 && both.ttl <= 20, `the least of both: ${both.ttl}`);
  assert.deepEqual((await site.resolver.addresses('half.test')).addresses, ['192.0.2.1', '192.0.2.2']);
});

test('a mailing to a thousand domains asks for all of them, a part at a time', async () => {
  let open = 0;
  let most = 0;
  await using site = await setup(async (query) => {
    most = Math.max(most, ++open);
    await new Promise<void>((resolve) => setImmediate(resolve));
    open--;
    const { name = '' } = query.questions[0] ?? {};
    return answerTo(query, { answers: [mx(name, 'm.test')] });
  });
  const domains = Array.from({ length: 1000 }, (_, n) => `d${n}.test`);
  const answers = await Promise.all(domains.map((domain) => site.resolver.mx(domain)));
  assert.ok(answers.every(({ records }) => records.length === 1));
  assert.equal(new Set(site.dns.queries.map(({ questions: [asked] }) => asked?.name)).size, 1000);
  assert.ok(most <= 500, `${most}`);
});

test('what the hosts file of this machine says counts for a host of a route, and for nothing else', async () => {
  await using site = await setup((query) => answerTo(query, { rcode: Rcode.NXDOMAIN }));
  assert.ok((await site.resolver.machine('localhost')).addresses.includes('127.0.0.1'));
  assert.deepEqual((await site.resolver.addresses('localhost')).addresses, []);
});

test('a host of one label is what this machine knows: nobody is asked where the root would be', async () => {
  await using site = await setup((query) => answerTo(query, { rcode: Rcode.SERVFAIL }));
  assert.ok((await site.resolver.machine('localhost')).addresses.includes('127.0.0.1'));
  assert.deepEqual(site.dns.queries, []);
  await assert.rejects(site.resolver.machine('smarthost.test'), DnsTrouble);
});
