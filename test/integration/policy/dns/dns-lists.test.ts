import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { SessionFacts } from '#services/policy/contract.ts';
import { Type } from '#shared/dns/message.ts';
import { address, answerTo, FakeDns } from '#test/kit/dns/fake-dns.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { said, startPolicy } from '#test/kit/nodes/policy.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { facts } from '#test/unit/policy/fixtures.ts';

/** Lists in a BIND; names in none of its zones are REFUSED. */
const SIX = (last: string) => `${last}.${'0.'.repeat(23)}8.b.d.0.1.0.0.2`;
const ZONES = {
  'block.test': `
2.0.0.127 A 127.0.0.2
2.0.0.127 TXT "test entry"
7.2.0.192 A 127.0.0.4
7.2.0.192 TXT "sent spam\\010 on \\252esterday, see https://block.test/192.0.2.7"
8.2.0.192 A 127.0.0.10
9.2.0.192 A 127.255.255.254
10.2.0.192 A 127.0.0.4
${SIX('7')} A 127.0.0.2`,
  'second.test': '8.2.0.192 A 127.0.0.2',
  'allow.test': '10.2.0.192 A 127.0.5.2\n7.2.0.192 A 127.0.5.0',
  'everything.test': '* A 127.0.0.2\n* TXT "closed since 2013"',
  'refusing.test': '* A 127.255.255.254',
  'parked.test': '* A 203.0.113.80',
  'secret-key.paid.test': '7.2.0.192 A 127.0.0.2',
};

let bind: NameServer;
before(async () => {
  bind = await NameServer.start(ZONES);
});
after(() => bind[Symbol.asyncDispose]());

const client = (ip: string) => ({ client: { address: ip, name: null, helo: 'x' } });
const input = (lists: object, more: object = {}) => ({
  domains: [{ name: 'example.com', local: true }],
  checks: { exempt: ['192.0.2.64/26', 'partner.example'], 'dns-lists': lists, ...more },
});
type Site = Awaited<ReturnType<typeof startPolicy>>;
const ask = (site: Site, session: Partial<SessionFacts>, recipient = 'any@example.com') =>
  site.policy['recipient-check']({ facts: facts(session), reversePath: '', recipient: { address: recipient } });

const NAME_UNKNOWN = '451 4.4.3 Name of your host cannot be looked up now, please try again later';
const BLOCK = { block: [{ zone: 'block.test', answers: ['127.0.0.2-9'] }, { zone: 'second.test' }] };
const listed = (ip: string, by: string, reason = '') => `554 5.7.1 Client host [${ip}] is listed by ${by}${reason}`;

test('clients on a list are refused with its reason; of several lists one is enough', needs('named'), async (t) => {
  await using site = await startPolicy(bind.server, input(BLOCK));
  const TABLE: [string, Partial<SessionFacts>, string, recipient?: string][] = [
    ['its test entry', client('127.0.0.2'), listed('127.0.0.2', 'block.test', ': "test entry"')],
    [
      'a reason with control characters and others that a reply cannot have',
      client('192.0.2.7'),
      listed('192.0.2.7', 'block.test', ': "sent spam? on ?esterday, see https://block.test/192.0.2.7"'),
    ],
    ['an IPv6 address', client('2001:db8::7'), listed('2001:db8::7', 'block.test')],
    [
      'IPv4 on an IPv6 socket',
      client('::ffff:192.0.2.7'),
      listed('::ffff:192.0.2.7', 'block.test', ': "sent spam? on ?esterday, see https://block.test/192.0.2.7"'),
    ],
    [
      'an answer that is not in answers; the second list has it',
      client('192.0.2.8'),
      listed('192.0.2.8', 'second.test'),
    ],
    ['an error code of the list', client('192.0.2.9'), '250'],
    [
      'a host whose name DNS did not give, and exempt has names',
      { ...client('192.0.2.7'), nameFailed: true },
      NAME_UNKNOWN,
    ],
    ['a client on no list', client('192.0.2.11'), '250'],
    ['another IPv6 address', client('2001:db8::8'), '250'],
    ['a user', { ...client('192.0.2.7'), user: 'alice' }, '250'],
    ['an internal host', { ...client('192.0.2.7'), scope: 'internal' }, '250'],
    ['an exempt network', client('192.0.2.65'), '250'],
    ['a gateway, behind which others are', { ...client('192.0.2.7'), gateway: true }, '250'],
    ['a private address', client('10.0.0.1'), '250'],
    ['postmaster hears everybody', client('192.0.2.7'), '250', 'postmaster'],
    ['so does postmaster of a local domain', client('192.0.2.7'), '250', 'PostMaster@example.com'],
  ];
  for (const [what, session, expected, recipient] of TABLE) {
    await t.test(what, async () => assert.equal(said(await ask(site, session, recipient)), expected));
  }
});

test('an allow list wins, where its answer counts', needs('named'), async () => {
  const allow = [{ zone: 'allow.test', answers: ['127.0.*.1-3'] }];
  await using site = await startPolicy(bind.server, input({ ...BLOCK, allow }));
  const verdict = await ask(site, client('192.0.2.10'));
  assert.equal(said(verdict), '250');
  assert.ok(verdict.why.includes('allow.test is an allow list, which wins'));
  assert.ok(verdict.why.includes('block.test lists the client: 127.0.0.4'));
  assert.match(said(await ask(site, client('192.0.2.7'))), /^554/, '127.0.5.0 is not in its answers');
});

test(
  'a list of everything, a parked one and one that refuses are broken: clients pass, and a log line says so',
  needs('named'),
  async () => {
    for (const [zone, error] of [
      ['everything.test', 'it lists 127.0.0.1, and so maybe everything'],
      ['parked.test', 'it answers 203.0.113.80'],
      ['gone.example', /^127\.0\.0\.1 answers REFUSED$/],
      ['refusing.test', 'it answers 127.255.255.254: it does not serve this resolver'],
    ] as const) {
      await using site = await startPolicy(bind.server, input({ block: [{ zone }] }));
      for (const ip of ['192.0.2.7', '192.0.2.8', '2001:db8::7'])
        assert.equal(said(await ask(site, client(ip))), '250', zone);
      const lines = site.lines().filter(({ list }) => list === zone);
      assert.equal(lines.length, 1, 'one line a minute');
      assert.match(String(lines[0]?.['error']), new RegExp(error));
      assert.equal(lines[0]?.level, 'warn');
    }
  },
);

test(
  'a zone with a secret in its name is called by another name, in replies and in the log',
  needs('named'),
  async () => {
    const block = [{ zone: 'secret-key.paid.test', name: 'paid.test' }];
    await using site = await startPolicy(bind.server, input({ block }));
    const verdict = await ask(site, client('192.0.2.7'));
    assert.equal(said(verdict), listed('192.0.2.7', 'paid.test'));
    assert.doesNotMatch(JSON.stringify([verdict, site.lines()]), /secret-key/);
  },
);

test('a silent list costs its time limit a few times, then it is not asked for a minute; the others go on', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '', type } = query.questions[0] ?? {};
    if (name.endsWith('.silent.test')) return undefined;
    const hit = name === '7.2.0.192.good.test' && type === Type.A;
    return hit ? answerTo(query, { answers: [address(name, '127.0.0.2')] }) : answerTo(query, { rcode: 3 });
  });
  const lists = { block: [{ zone: 'silent.test' }, { zone: 'good.test' }], timeout: '400ms' };
  await using site = await startPolicy(dns.server, input(lists));
  const took = async (ip: string, expected: string) => {
    const began = performance.now();
    assert.equal(said(await ask(site, client(ip))), expected);
    return performance.now() - began;
  };
  const first = await took('192.0.2.7', listed('192.0.2.7', 'good.test'));
  assert.ok(first >= 350 && first < 2500, `${first} ms`);
  assert.ok((await took('192.0.2.7', listed('192.0.2.7', 'good.test'))) < 200, 'remembered for other recipients');
  await took('192.0.2.21', '250');
  await took('192.0.2.22', '250');
  const asked = dns.queries.length;
  assert.ok((await took('192.0.2.23', '250')) < 300);
  const names = dns.queries.slice(asked).map((query) => query.questions[0]?.name);
  assert.deepEqual([...new Set(names)], ['23.2.0.192.good.test']);
});

test('a client that connects is asked about before its first recipient, and nothing waits for that', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return name.endsWith('.slow.test') ? undefined : answerTo(query, { rcode: 3 });
  });
  await using site = await startPolicy(dns.server, input({ block: [{ zone: 'slow.test' }], timeout: '2s' }));
  const began = performance.now();
  const request = { session: 'S', listener: 'mx', kind: 'relay' as const, address: '192.0.2.30' };
  assert.equal((await site.policy['client-check'](request)).action, 'accept');
  assert.ok(performance.now() - began < 1000);
  await waitFor(() => dns.queries.some(({ questions }) => questions[0]?.name === '30.2.0.192.slow.test'), {
    what: 'the list to be asked',
  });
});

test('strangers who keep DNS busy with domains of senders do not get past the lists', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '', type } = query.questions[0] ?? {};
    if (name.endsWith('.silent.test')) return undefined;
    const hit = name === '7.2.0.192.good.test' && type === Type.A;
    return hit ? answerTo(query, { answers: [address(name, '127.0.0.2')] }) : answerTo(query, { rcode: 3 });
  });
  const given = input({ block: [{ zone: 'good.test' }] }, { 'sender-domain': { enabled: true, timeout: '3s' } });
  await using site = await startPolicy(dns.server, given);
  const flood = Array.from({ length: 500 }, (_, i) =>
    site.policy['sender-check']({
      facts: facts(client(`198.${i >> 8}.${i & 255}.30`)),
      reversePath: `a@d${i}.silent.test`,
    }),
  );
  await waitFor(() => dns.queries.length >= 500, { what: 'all questions to be under way' });
  assert.equal(said(await ask(site, client('192.0.2.7'))), listed('192.0.2.7', 'good.test'));
  for (const verdict of await Promise.all(flood)) assert.equal(verdict.action, 'defer');
});
