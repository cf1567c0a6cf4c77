import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DnsCache } from '#services/policy/dns/dns-cache.ts';
import { Class, type DnsRecord, Rcode, Type } from '#shared/dns/message.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { address, answerTo, FakeDns, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';

async function setup(handler: Handler) {
  const dns = await FakeDns.start(handler);
  const cache = new DnsCache({ servers: [dns.server] });
  return { dns, cache, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

const mx = (name: string, host: string, ttl = 60): DnsRecord => {
  const { rdata } = pointer(Type.NS, name, host);
  return { name, type: Type.MX, class: Class.IN, ttl, rdata: Buffer.concat([Buffer.from([0, 10]), rdata]) };
};
/** `ttl` and the minimum in its data, both in seconds. */
const soa = (name: string, ttl: number, minimum: number): DnsRecord => {
  const numbers = Buffer.alloc(20);
  numbers.writeUInt32BE(minimum, 16);
  const { rdata } = pointer(Type.NS, name, `ns.${name}`);
  return { name, type: Type.SOA, class: Class.IN, ttl, rdata: Buffer.concat([rdata, rdata, numbers]) };
};

test('an answer holds as long as its records say, and no longer', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using site = await setup((query) =>
    answerTo(query, { answers: [{ ...address('a.test', '192.0.2.1'), ttl: 90 }] }),
  );
  const { cache, dns } = site;
  const ask = () => cache.lookup('A.test', 'A', 2000);
  assert.deepEqual(await ask(), { kind: 'found', records: ['192.0.2.1'] });
  clocks.tick(85_000);
  assert.deepEqual(ask(), { kind: 'found', records: ['192.0.2.1'] }, 'known, so without a promise');
  clocks.tick(6000);
  assert.ok(ask() instanceof Promise);
  await ask();
  assert.equal(dns.queries.length, 2);
});

test('that there is nothing holds as long as the zone says (RFC 2308), and names that are not there are told apart', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using site = await setup((query) => {
    const rcode = query.questions[0]?.name === 'gone.test' ? Rcode.NXDOMAIN : Rcode.NOERROR;
    return answerTo(query, { rcode, authorities: [soa('test', 3600, 120)] });
  });
  const { cache, dns } = site;
  assert.deepEqual(await cache.lookup('gone.test', 'MX', 2000), { kind: 'none', exists: false });
  assert.deepEqual(await cache.lookup('bare.test', 'MX', 2000), { kind: 'none', exists: true });
  clocks.tick(115_000);
  assert.ok(!(cache.lookup('gone.test', 'MX', 2000) instanceof Promise));
  clocks.tick(6000);
  await cache.lookup('gone.test', 'MX', 2000);
  assert.equal(dns.queries.length, 3);
});

test('concurrent look-ups share one query, and trouble is remembered for half a minute', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  let silent = true;
  await using site = await setup((query) =>
    silent ? undefined : answerTo(query, { answers: [txt('x.test', 'now')] }),
  );
  const { cache, dns } = site;
  const began = performance.now();
  const answers = await Promise.all([1, 2, 3].map(() => cache.lookup('x.test', 'TXT', 300)));
  assert.ok(answers.every(({ kind }) => kind === 'trouble'));
  assert.ok(performance.now() - began < 3000);
  assert.equal(dns.queries.length, 2, 'one question, repeated once');
  silent = false;
  clocks.tick(25_000);
  assert.ok(!(cache.lookup('x.test', 'TXT', 300) instanceof Promise));
  clocks.tick(6000);
  assert.deepEqual(await cache.lookup('x.test', 'TXT', 2000), { kind: 'found', records: ['now'] });
});

test('aliases lead to the records, a loop of them is trouble', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    if (name === 'loop.test') {
      return answerTo(query, {
        answers: [pointer(Type.CNAME, 'loop.test', 'back.test'), pointer(Type.CNAME, 'back.test', 'loop.test')],
      });
    }
    return answerTo(query, { answers: [pointer(Type.CNAME, name, 'host.test'), mx('host.test', 'mail.test')] });
  });
  assert.deepEqual(await site.cache.lookup('alias.test', 'MX', 2000), { kind: 'found', records: ['mail.test'] });
  assert.equal((await site.cache.lookup('loop.test', 'MX', 2000)).kind, 'trouble');
});

test('nothing of an answer is trusted: foreign records, broken data, thousands of records, a referral', async () => {
  const ip = (rdata: Buffer): DnsRecord => ({ name: 'x.test', type: Type.A, class: Class.IN, ttl: 60, rdata });
  const many = Array.from({ length: 2500 }, (_, n) => ip(Buffer.from([127, 0, n >> 8, n & 255])));
  const cases: [string, DnsRecord[], object][] = [
    ['a record of another name', [address('y.test', '127.0.0.2')], { kind: 'none', exists: true }],
    ['a record of another type', [txt('x.test', '127.0.0.2')], { kind: 'none', exists: true }],
    ['a record of another class', [{ ...ip(Buffer.from([127, 0, 0, 2])), class: 3 }], { kind: 'none', exists: true }],
  ];
  for (const [what, answers, expected] of cases) {
    await using site = await setup((query) => answerTo(query, { answers }));
    assert.deepEqual(await site.cache.lookup('x.test', 'A', 2000), expected, what);
  }
  const troubles: [string, Handler][] = [
    ['an A record of three bytes', (query) => answerTo(query, { answers: [ip(Buffer.from([127, 0, 0]))] })],
    ['a referral', (query) => answerTo(query, { authorities: [pointer(Type.NS, 'test', 'ns.test')] })],
    ['SERVFAIL', (query) => answerTo(query, { rcode: 2 })],
    ['rubbish', () => Buffer.from('rubbish')],
  ];
  for (const [what, handler] of troubles) {
    await using site = await setup(handler);
    assert.equal((await site.cache.lookup('x.test', 'A', 300)).kind, 'trouble', what);
  }
  await using huge = await setup((query) =>
    query.transport === 'udp' ? answerTo(query, { truncated: true }) : answerTo(query, { answers: many }),
  );
  const answer = await huge.cache.lookup('x.test', 'A', 3000);
  assert.ok(answer.kind === 'found' && answer.records.length === 16, JSON.stringify(answer).slice(0, 100));
});

test('of a long text the beginning is kept', async () => {
  await using site = await setup((query) =>
    query.transport === 'udp'
      ? answerTo(query, { truncated: true })
      : answerTo(query, { answers: [txt('x.test', ...Array.from({ length: 200 }, () => 'x'.repeat(250)))] }),
  );
  assert.deepEqual(await site.cache.lookup('x.test', 'TXT', 3000), { kind: 'found', records: ['x'.repeat(256)] });
});

test('a server that does not answer is passed over, and the next question begins with the one that did', async () => {
  await using silent = await FakeDns.start(() => undefined);
  await using good = await FakeDns.start((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return answerTo(query, { answers: [address(name, '192.0.2.1')] });
  });
  const cache = new DnsCache({ servers: [silent.server, good.server] });
  assert.equal((await cache.lookup('a.test', 'A', 1000)).kind, 'found');
  const asked = silent.queries.length;
  assert.equal((await cache.lookup('b.test', 'A', 1000)).kind, 'found');
  assert.equal(silent.queries.length, asked);
});

test('a name that DNS cannot carry does not exist, and is not asked for', async () => {
  await using site = await setup(() => undefined);
  const { cache, dns } = site;
  assert.deepEqual(await cache.lookup(`${'x'.repeat(64)}.test`, 'MX', 1000), { kind: 'none', exists: false });
  assert.equal(dns.queries.length, 0);
});

test('many questions at once do not take all sockets: those beyond the bound are trouble immediately', async () => {
  await using site = await setup(() => undefined);
  const answers = Array.from({ length: 520 }, (_, n) => site.cache.lookup(`n${n}.test`, 'A', 500));
  assert.equal(answers.filter((answer) => !(answer instanceof Promise)).length, 20);
  await Promise.all(answers);
});

test('slow questions of one network leave room for those of others, and only for as long as they are under way', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return name.startsWith('slow') ? undefined : answerTo(query, { answers: [address(name, '192.0.2.1')] });
  });
  const { cache } = site;
  const slow = Array.from({ length: 50 }, (_, i) => cache.lookup(`slow${i}.test`, 'A', 500, '192.0.2.0/24'));
  const refused = cache.lookup('more.test', 'A', 2000, '192.0.2.0/24');
  assert.deepEqual(refused, { kind: 'trouble', error: 'too many questions of 192.0.2.0/24 are under way' });
  assert.ok(cache.lookup('slow7.test', 'A', 100, '192.0.2.0/24') instanceof Promise, 'it is being asked anyway');
  const found = { kind: 'found', records: ['192.0.2.1'] };
  assert.deepEqual(await cache.lookup('more.test', 'A', 2000, '198.51.100.0/24'), found);
  await Promise.all(slow);
  assert.deepEqual(await cache.lookup('later.test', 'A', 2000, '192.0.2.0/24'), found);
});
