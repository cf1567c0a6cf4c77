import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Class, type DnsRecord, Rcode, Type } from '#shared/dns/message.ts';
import { type DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { address, answerTo, FakeDns, type Handler, pointer, txt } from '#test/kit/dns/fake-dns.ts';

async function setup(handler: Handler, timeout = 2000) {
  const dns = await FakeDns.start(handler);
  const resolver = new DnsResolver({ servers: [dns.server], timeout });
  return { dns, resolver, [Symbol.asyncDispose]: () => dns[Symbol.asyncDispose]() };
}

/** An answer without the time for which it holds. */
async function told(answer: DnsAnswer | Promise<DnsAnswer>) {
  const { expires: _, ...rest } = await answer;
  return rest;
}
const found = (...records: unknown[]) => ({ kind: 'found', records, authenticated: false });
const none = (exists: boolean) => ({ kind: 'none', exists, authenticated: false });
/** Why there is no answer; undefined where there is one. */
async function cause(answer: DnsAnswer | Promise<DnsAnswer>) {
  const known = await answer;
  return known.kind === 'trouble' ? known.cause : undefined;
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
const ip = (rdata: Buffer): DnsRecord => ({ name: 'x.test', type: Type.A, class: Class.IN, ttl: 60, rdata });
/** By UDP nothing but that it is too long. */
const byTcp =
  (handler: Handler): Handler =>
  (query) =>
    query.transport === 'udp' ? answerTo(query, { truncated: true }) : handler(query);

test('an answer holds as long as its records say, and no longer', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  await using site = await setup((query) =>
    answerTo(query, { answers: [{ ...address('a.test', '192.0.2.1'), ttl: 90 }] }),
  );
  const { resolver, dns } = site;
  const ask = () => resolver.lookup('A.test', 'A');
  assert.deepEqual(await told(ask()), found('192.0.2.1'));
  clocks.tick(85_000);
  const known = ask();
  assert.ok(!(known instanceof Promise), 'known, so without a promise');
  const left = known.expires - performance.now();
  assert.ok(left > 0 && left <= 5000, `${left}`);
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
  const { resolver, dns } = site;
  assert.deepEqual(await told(resolver.lookup('gone.test', 'MX')), none(false));
  assert.deepEqual(await told(resolver.lookup('bare.test', 'MX')), none(true));
  clocks.tick(115_000);
  assert.ok(!(resolver.lookup('gone.test', 'MX') instanceof Promise));
  clocks.tick(6000);
  await resolver.lookup('gone.test', 'MX');
  assert.equal(dns.queries.length, 3);
});

test('concurrent look-ups share one query, and trouble is remembered for half a minute', async (t) => {
  const clocks = mockClocks(t, { frozen: false });
  let silent = true;
  await using site = await setup((query) => {
    return silent ? undefined : answerTo(query, { answers: [txt('x.test', 'now')] });
  }, 300);
  const { resolver, dns } = site;
  const began = performance.now();
  const answers = await Promise.all([1, 2, 3].map(() => cause(resolver.lookup('x.test', 'TXT'))));
  assert.deepEqual(answers, ['silent', 'silent', 'silent']);
  assert.ok(performance.now() - began < 3000);
  assert.equal(dns.queries.length, 2, 'one question, repeated once');
  silent = false;
  clocks.tick(25_000);
  assert.ok(!(resolver.lookup('x.test', 'TXT') instanceof Promise));
  clocks.tick(6000);
  assert.deepEqual(await told(resolver.lookup('x.test', 'TXT')), found('now'));
});

test('a caller that cannot wait does not end the question, and the next caller has the answer', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await using site = await setup(async (query) => {
    await released;
    return answerTo(query, { answers: [address('x.test', '192.0.2.1')] });
  });
  const { resolver, dns } = site;
  const patient = resolver.lookup('x.test', 'A');
  assert.equal(await cause(resolver.lookup('x.test', 'A', { waitMs: 20 })), 'silent');
  release();
  assert.deepEqual(await told(patient), found('192.0.2.1'));
  assert.ok(!(resolver.lookup('x.test', 'A') instanceof Promise));
  assert.equal(dns.queries.length, 1);
});

test('aliases lead to the records, those in a circle are trouble', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    if (name === 'circle.test') {
      return answerTo(query, {
        answers: [pointer(Type.CNAME, 'circle.test', 'back.test'), pointer(Type.CNAME, 'back.test', 'circle.test')],
      });
    }
    if (name === 'dangling.test') {
      return answerTo(query, { rcode: Rcode.NXDOMAIN, answers: [pointer(Type.CNAME, 'dangling.test', 'gone.test')] });
    }
    return answerTo(query, { answers: [pointer(Type.CNAME, name, 'host.test'), mx('host.test', 'mail.test')] });
  });
  const { resolver } = site;
  const mail = { exchange: 'mail.test', priority: 10 };
  assert.deepEqual(await told(resolver.lookup('alias.test', 'MX')), found(mail));
  assert.deepEqual(await told(resolver.lookup('alias.test', 'CNAME')), found('host.test'));
  assert.equal(await cause(resolver.lookup('circle.test', 'MX')), 'failed');
  assert.deepEqual(await told(resolver.lookup('dangling.test', 'MX')), none(false), 'RFC 6604 §3: of the last name');
});

test('aliases that a server does not follow are asked for one by one', async () => {
  const to: Record<string, string> = {
    'a.test': 'b.test',
    'b.test': 'c d.test',
    'x.test': 'y.test',
    'y.test': 'x.test',
  };
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    const long = /^(\d+)\.long\.test$/.exec(name)?.[1];
    const target = long === undefined ? to[name] : `${Number(long) + 1}.long.test`;
    if (target === undefined) return answerTo(query, { answers: [{ ...address('x', '192.0.2.1'), name }] });
    return answerTo(query, { answers: [pointer(Type.CNAME, name, target.replace(' ', '\\032'))] });
  });
  const { resolver, dns } = site;
  assert.deepEqual(await told(resolver.lookup('a.test', 'A')), found('192.0.2.1'));
  assert.deepEqual(
    dns.queries.map(({ questions: [asked] }) => asked?.name),
    ['a.test', 'b.test', 'c\\032d.test'],
  );
  assert.equal(await cause(resolver.lookup('x.test', 'A')), 'failed');
  assert.equal(await cause(resolver.lookup('0.long.test', 'A')), 'failed');
  assert.ok(dns.queries.length < 20, 'a chain without an end costs few questions');
});

test('nothing of an answer is trusted: foreign records, broken data, a referral, another question', async () => {
  const cases: [string, DnsRecord[]][] = [
    ['a record of another name', [address('y.test', '127.0.0.2')]],
    ['a record of another type', [txt('x.test', '127.0.0.2')]],
    ['a record of another class', [{ ...ip(Buffer.from([127, 0, 0, 2])), class: 3 }]],
  ];
  for (const [what, answers] of cases) {
    await using site = await setup((query) => answerTo(query, { answers }));
    assert.deepEqual(await told(site.resolver.lookup('x.test', 'A')), none(true), what);
  }
  const troubles: [string, string, Handler][] = [
    ['an A record of three bytes', 'failed', (query) => answerTo(query, { answers: [ip(Buffer.from([127, 0, 0]))] })],
    ['a referral', 'failed', (query) => answerTo(query, { authorities: [pointer(Type.NS, 'test', 'ns.test')] })],
    ['SERVFAIL', 'failed', (query) => answerTo(query, { rcode: 2 })],
    ['REFUSED', 'refused', (query) => answerTo(query, { rcode: 5 })],
    ['rubbish', 'failed', () => Buffer.from('rubbish')],
    ['another question', 'failed', (query) => answerTo(query, { question: { name: 'y.test', type: Type.A } })],
    ['another id', 'failed', (query) => answerTo(query, { id: query.id ^ 1 })],
    ['the end of a connection', 'silent', byTcp(() => 'close')],
    ['rubbish by TCP', 'failed', byTcp(() => Buffer.from('rubbish and more rubbish'))],
  ];
  for (const [what, expected, handler] of troubles) {
    await using site = await setup(handler, 300);
    assert.equal(await cause(site.resolver.lookup('x.test', 'A')), expected, what);
  }
});

test('all records of a long answer are there, and texts in one piece: 100 strings, 8 KB, 64 KB', async () => {
  const texts: [string, string[]][] = [
    ['100 strings', Array.from({ length: 100 }, (_, i) => `part ${i},`)],
    ['8 KB', Array.from({ length: 32 }, () => 'x'.repeat(255))],
    ['64 KB', Array.from({ length: 255 }, () => 'y'.repeat(254))],
    ['empty strings', ['', 'a', '', 'b']],
  ];
  for (const [what, strings] of texts) {
    await using site = await setup(byTcp((query) => answerTo(query, { answers: [txt('x.test', ...strings)] })));
    assert.deepEqual(await told(site.resolver.lookup('x.test', 'TXT')), found(strings.join('')), what);
  }
  const many = Array.from({ length: 2500 }, (_, n) => ip(Buffer.from([127, 0, n >> 8, n & 255])));
  await using site = await setup(byTcp((query) => answerTo(query, { answers: many })));
  const answer = await site.resolver.lookup('x.test', 'A');
  assert.ok(answer.kind === 'found' && answer.records.length === 2500);
});

test('records of every type', async () => {
  const rdata = Buffer.from([3, 1, 1, 0xab, 0xcd]);
  const answers: Record<number, DnsRecord> = {
    [Type.AAAA]: {
      ...ip(Buffer.from('20010db8000000000000000000000001', 'hex')),
      type: Type.AAAA,
    },
    [Type.PTR]: pointer(Type.PTR, 'x.test', 'Host.Test'),
    [Type.NS]: pointer(Type.NS, 'x.test', 'ns.test'),
    [Type.MX]: mx('x.test', ''),
    [Type.TLSA]: { ...ip(rdata), type: Type.TLSA },
  };
  await using site = await setup((query) => {
    const answer = answers[query.questions[0]?.type ?? 0];
    return answerTo(query, { answers: answer === undefined ? [] : [answer] });
  });
  const { resolver } = site;
  assert.deepEqual(await told(resolver.lookup('x.test', 'AAAA')), found('2001:db8::1'));
  assert.deepEqual(await told(resolver.lookup('x.test', 'PTR')), found('host.test'));
  assert.deepEqual(await told(resolver.lookup('x.test', 'NS')), found('ns.test'));
  assert.deepEqual(await told(resolver.lookup('x.test', 'MX')), found({ exchange: '', priority: 10 }), 'null MX');
  assert.deepEqual(await told(resolver.lookup('x.test', 'TLSA')), found(rdata));
});

test('whether a resolver has verified an answer is asked for and told, of all steps of a chain', async () => {
  const ad = (answer: Buffer) => {
    answer.writeUInt16BE(answer.readUInt16BE(2) | 0x0020, 2);
    return answer;
  };
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    if (name === 'gone.test') return ad(answerTo(query, { rcode: Rcode.NXDOMAIN, authorities: [soa('test', 60, 60)] }));
    if (name === 'alias.test') return answerTo(query, { answers: [pointer(Type.CNAME, name, 'sure.test')] });
    return ad(answerTo(query, { answers: [address(name, '192.0.2.1')] }));
  });
  const { resolver, dns } = site;
  const answers = ['sure.test', 'gone.test', 'alias.test'].map(async (name) => await resolver.lookup(name, 'A'));
  const verified = (await Promise.all(answers)).map((answer) => answer.kind !== 'trouble' && answer.authenticated);
  assert.deepEqual(verified, [true, true, false]);
  assert.ok(
    dns.queries.every(({ authenticated }) => authenticated),
    'AD in the query (RFC 6840 §5.7)',
  );
});

test('a server that does not answer is passed over, and the next question begins with the one that did', async () => {
  await using silent = await FakeDns.start(() => undefined);
  await using good = await FakeDns.start((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return answerTo(query, { answers: [address(name, '192.0.2.1')] });
  });
  const resolver = new DnsResolver({ servers: [silent.server, good.server], timeout: 1000 });
  assert.equal((await resolver.lookup('a.test', 'A')).kind, 'found');
  const asked = silent.queries.length;
  assert.equal((await resolver.lookup('b.test', 'A')).kind, 'found');
  assert.equal(silent.queries.length, asked);
});

test('other servers are asked after a change, and what the old ones said is forgotten', async () => {
  const says = (ip: string) => FakeDns.start((query) => answerTo(query, { answers: [address('x.test', ip)] }));
  await using one = await says('192.0.2.1');
  await using two = await says('192.0.2.2');
  const resolver = new DnsResolver({ servers: [one.server], timeout: 2000 });
  assert.deepEqual(await told(resolver.lookup('x.test', 'A')), found('192.0.2.1'));
  resolver.configure({ servers: [one.server], timeout: 1000 });
  assert.deepEqual(await told(resolver.lookup('x.test', 'A')), found('192.0.2.1'));
  assert.equal(one.queries.length, 1);
  resolver.configure({ servers: [two.server], timeout: 1000 });
  assert.deepEqual(await told(resolver.lookup('x.test', 'A')), found('192.0.2.2'));
});

test('a name that DNS cannot carry does not exist, and is not asked for', async () => {
  await using site = await setup(() => undefined);
  const { resolver, dns } = site;
  for (const name of [`${'x'.repeat(64)}.test`, 'a..test', 'a b.test', `${'x.'.repeat(127)}test`]) {
    assert.deepEqual(await told(resolver.lookup(name, 'MX')), none(false), name);
  }
  assert.equal(dns.queries.length, 0);
});

test('names are the same with a root dot, in capitals and in their own letters', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return answerTo(query, { answers: [address(name, '192.0.2.1')] });
  });
  for (const name of ['bücher.test.', 'xn--bcher-kva.test', 'XN--BCHER-KVA.TEST']) {
    assert.deepEqual(await told(site.resolver.lookup(name, 'A')), found('192.0.2.1'), name);
  }
  assert.deepEqual([...new Set(site.dns.queries.map(({ questions: [q] }) => q?.name))], ['xn--bcher-kva.test']);
});

test('many questions at once do not take all sockets: those beyond the bound are trouble immediately', async () => {
  await using site = await setup(() => undefined, 500);
  const answers = Array.from({ length: 520 }, (_, n) => site.resolver.lookup(`n${n}.test`, 'A'));
  assert.equal(answers.filter((answer) => !(answer instanceof Promise)).length, 20);
  await Promise.all(answers);
});

test('slow questions of one network leave room for those of others, and only for as long as they are under way', async () => {
  await using site = await setup((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return name.startsWith('slow') ? undefined : answerTo(query, { answers: [address(name, '192.0.2.1')] });
  }, 500);
  const { resolver } = site;
  const ours = { network: '192.0.2.0/24' };
  const slow = Array.from({ length: 50 }, (_, i) => resolver.lookup(`slow${i}.test`, 'A', ours));
  const refused = resolver.lookup('more.test', 'A', ours);
  const busy = { kind: 'trouble', cause: 'busy', error: 'too many questions of 192.0.2.0/24 are under way' };
  assert.deepEqual(await told(refused), busy);
  assert.ok(resolver.lookup('slow7.test', 'A', ours) instanceof Promise, 'it is being asked anyway');
  assert.deepEqual(await told(resolver.lookup('more.test', 'A', { network: '198.51.100.0/24' })), found('192.0.2.1'));
  await Promise.all(slow);
  assert.deepEqual(await told(resolver.lookup('later.test', 'A', ours)), found('192.0.2.1'));
});
