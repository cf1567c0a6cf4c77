import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { Unreachable } from '#services/router/delivery/channel.ts';
import { hostTargets } from '#services/router/delivery/hosts/named-host.ts';
import { MxLookup } from '#services/router/delivery/mx.ts';
import { DnsTrouble, type Resolver } from '#services/router/delivery/resolver.ts';
import type { StsAnswer } from '#services/router/delivery/tls-policy/sts/policies.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { testSettings } from './fixtures.ts';

type Zone = Record<
  string,
  { mx?: [number, string][] | 'error' | 'servfail' | 'nxdomain'; a?: string[] | 'error' | 'servfail' }
>;

const temporary = (how: 'error' | 'servfail'): Error =>
  how === 'error' ? new DnsTrouble('no answer', false) : new DnsTrouble('ns answers SERVFAIL', true);

function resolverOf(zone: Zone, ttl = 60): Resolver & { asked: string[] } {
  const asked: string[] = [];
  const addresses = async (host: string) => {
    asked.push(`A ${host}`);
    const found = zone[host]?.a ?? [];
    if (typeof found === 'string') throw temporary(found);
    return { addresses: found, ttl, authenticated: false };
  };
  return {
    asked,
    addresses,
    machine: addresses,
    mx: async (domain) => {
      asked.push(`MX ${domain}`);
      const found = zone[domain]?.mx;
      if (found === 'error' || found === 'servfail') throw temporary(found);
      const records = found === 'nxdomain' || found === undefined ? [] : found;
      return {
        exists: zone[domain] !== undefined && found !== 'nxdomain',
        records: records.map(([priority, exchange]) => ({ priority, exchange })),
        authenticated: false,
      };
    },
    ask: async () => ({ kind: 'none', exists: true, expires: 0, authenticated: false }),
  };
}

async function lookUp(
  zone: Zone,
  domain = 'd.test',
  listeners: object[] = [],
  allowed: string[] = [],
): Promise<string[] | string> {
  const settings = testSettings({ listeners, delivery: { 'allow-local': allowed } });
  try {
    const targets = await new MxLookup(resolverOf(zone), settings).targets(domain);
    return targets.map(({ name, address, port }) => `${name} ${address}${port === 25 ? '' : `:${port}`}`);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    return `${error.state} ${error.reply.code} ${error.reply.enhanced}${error.local ? ' local' : ''}`;
  }
}

const A = { a: ['203.0.113.1'] };
const own =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1';
const relay = (address: string, port = 25): object => ({ name: 'mx', kind: 'relay', address, port });

const CASES: [name: string, zone: Zone, expected: string[] | string, listeners?: object[], allowed?: string[]][] = [
  ['no such domain', {}, 'failed 550 5.1.2'],
  ['NXDOMAIN', { 'd.test': { mx: 'nxdomain', a: ['203.0.113.1'] } }, 'failed 550 5.1.2'],
  ['a null MX', { 'd.test': { mx: [[0, '']], ...A } }, 'failed 550 5.1.10'],
  [
    'a null MX beside a real one',
    {
      'd.test': {
        mx: [
          [0, ''],
          [5, 'm.test'],
        ],
      },
      'm.test': A,
    },
    ['m.test 203.0.113.1'],
  ],
  ['no MX and no address', { 'd.test': {} }, 'failed 550 5.1.2'],
  ['no MX but an address', { 'd.test': A }, ['d.test 203.0.113.1']],
  ['no MX and 0.0.0.0', { 'd.test': { a: ['0.0.0.0'] } }, 'failed 550 5.1.2'],
  ['no answer for MX', { 'd.test': { mx: 'error', ...A } }, 'deferred 451 4.4.3 local'],
  ['no MX, no answer for the address', { 'd.test': { a: 'error' } }, 'deferred 451 4.4.3 local'],
  ['a server failure for MX', { 'd.test': { mx: 'servfail', ...A } }, 'deferred 451 4.4.3'],
  [
    'a server failure for the only host',
    { 'd.test': { mx: [[5, 'm.test']] }, 'm.test': { a: 'servfail' } },
    'deferred 451 4.4.3',
  ],
  ['MX hosts without address', { 'd.test': { mx: [[5, 'm.test']], ...A } }, 'failed 550 5.4.4'],
  [
    'no answer for the only host',
    { 'd.test': { mx: [[5, 'm.test']] }, 'm.test': { a: 'error' } },
    'deferred 451 4.4.3 local',
  ],
  [
    'no answer for one of two hosts',
    {
      'd.test': {
        mx: [
          [5, 'm.test'],
          [9, 'n.test'],
        ],
      },
      'm.test': { a: 'error' },
      'n.test': A,
    },
    ['n.test 203.0.113.1'],
  ],
  [
    'a host that does not exist, or is an address',
    {
      'd.test': {
        mx: [
          [1, 'gone.test'],
          [2, '203.0.113.9'],
          [3, 'n.test'],
        ],
      },
      'n.test': A,
      '203.0.113.9': { a: ['203.0.113.9'] },
    },
    ['n.test 203.0.113.1'],
  ],
  [
    'hosts out of order',
    {
      'd.test': {
        mx: [
          [20, 'b.test'],
          [10, 'A.test.'],
        ],
      },
      'a.test': { a: ['2001:db8::1', '203.0.113.1'] },
      'b.test': { a: ['203.0.113.2'] },
    },
    ['a.test 2001:db8::1', 'a.test 203.0.113.1', 'b.test 203.0.113.2'],
  ],
  [
    'more addresses than are tried',
    {
      'd.test': {
        mx: [
          [1, 'a.test'],
          [2, 'b.test'],
        ],
      },
      'a.test': { a: Array.from({ length: 20 }, (_, i) => `203.0.113.${i}`) },
      'b.test': A,
    },
    Array.from({ length: 10 }, (_, i) => `a.test 203.0.113.${i}`),
  ],
  ['ourselves as the only MX', { 'd.test': { mx: [[5, 'edge.test']] }, 'edge.test': A }, 'failed 554 5.4.6'],
  ['ourselves, without an address', { 'd.test': { mx: [[5, 'EDGE.test.']] } }, 'failed 554 5.4.6'],
  [
    'ourselves as the best MX',
    {
      'd.test': {
        mx: [
          [5, 'edge.test'],
          [5, 'x.test'],
          [9, 'y.test'],
        ],
      },
      'edge.test': A,
      'x.test': A,
      'y.test': A,
    },
    'failed 554 5.4.6',
  ],
  [
    'ourselves in the middle',
    {
      'd.test': {
        mx: [
          [1, 'x.test'],
          [5, 'edge.test'],
          [9, 'y.test'],
        ],
      },
      'edge.test': A,
      'x.test': A,
      'y.test': A,
    },
    ['x.test 203.0.113.1'],
  ],
  [
    'ourselves by the address of a listener',
    { 'd.test': { mx: [[1, 'x.test']] }, 'x.test': { a: ['203.0.113.7'] } },
    'failed 554 5.4.6',
    [relay('203.0.113.7')],
  ],
  ['ourselves by any address of this machine', { 'd.test': { a: [own] } }, 'failed 554 5.4.6', [relay('::')]],
  [
    'our address, but another listener has port 25',
    { 'd.test': { a: [own] } },
    'failed 554 5.4.6',
    [relay('::', 2525)],
  ],
  ['our address, without a listener', { 'd.test': { a: [own] } }, 'failed 554 5.4.6'],
  ['our address, allowed', { 'd.test': { a: [own] } }, [`d.test ${own}`], [relay('::', 2525)], ['0.0.0.0/0']],
  ['our address, allowed, but we listen there', { 'd.test': { a: [own] } }, 'failed 554 5.4.6', [relay('::')], [own]],
  ['our address, another one allowed', { 'd.test': { a: [own] } }, 'failed 554 5.4.6', [], ['203.0.113.99', '::/0']],
  ...['127.0.0.1', '127.3.2.1', '::1', '::ffff:127.0.0.1', '169.254.169.254', 'fe80::1'].map(
    (address): [string, Zone, string] => [
      `${address} by its address`,
      { 'd.test': { a: [address] } },
      'failed 550 5.4.4',
    ],
  ),
  [
    'loopback by a mail exchanger, where we listen everywhere',
    { 'd.test': { mx: [[0, 'localhost.d.test']] }, 'localhost.d.test': { a: ['127.0.0.1', '::1'] } },
    'failed 550 5.4.4',
    [relay('::')],
  ],
  [
    'loopback before a real mail exchanger',
    {
      'd.test': {
        mx: [
          [0, 'localhost.d.test'],
          [10, 'm.test'],
        ],
      },
      'localhost.d.test': { a: ['127.0.0.1'] },
      'm.test': { a: ['127.0.0.1', '203.0.113.1'] },
    },
    ['m.test 203.0.113.1'],
    [relay('::')],
  ],
  ['loopback, allowed', { 'd.test': { a: ['127.3.2.1', '::1'] } }, ['d.test 127.3.2.1'], [], ['127.0.0.0/8']],
  [
    'loopback, allowed, but we listen there',
    { 'd.test': { a: ['127.3.2.1'] } },
    'failed 554 5.4.6',
    [relay('0.0.0.0')],
    ['127.0.0.0/8'],
  ],
  [
    'loopback, allowed as a network of mapped addresses',
    { 'd.test': { a: ['127.3.2.1', '::ffff:127.3.2.2'] } },
    ['d.test 127.3.2.1', 'd.test ::ffff:127.3.2.2'],
    [],
    ['::ffff:127.0.0.0/104'],
  ],
  [
    'another address that ends like that of our listener',
    { 'd.test': { a: ['::203.0.113.7'] } },
    ['d.test ::203.0.113.7'],
    [relay('203.0.113.7')],
  ],
  [
    'the address of our listener in its mapped form',
    { 'd.test': { a: ['::ffff:203.0.113.7'] } },
    'failed 554 5.4.6',
    [relay('203.0.113.7')],
  ],
  [
    'link-local, when another address that ends like it is allowed',
    { 'd.test': { a: ['169.254.1.2'] } },
    'failed 550 5.4.4',
    [],
    ['::169.254.1.2'],
  ],
  [
    'another address than our listener',
    { 'd.test': { a: ['203.0.113.8'] } },
    ['d.test 203.0.113.8'],
    [relay('203.0.113.7')],
  ],
];
for (const [name, zone, expected, listeners, allowed] of CASES) {
  test(`MX: ${name}`, async () => {
    assert.deepEqual(await lookUp(zone, 'd.test', listeners, allowed), expected);
  });
}

for (const [literal, expected] of [
  ['[203.0.113.1]', ['203.0.113.1 203.0.113.1']],
  ['[ipv6:2001:db8::1]', ['2001:db8::1 2001:db8::1']],
  ['[IPv6:2001:DB8::1]', ['2001:DB8::1 2001:DB8::1']],
  ['[192.0.2]', 'failed 550 5.1.2'],
  ['[example.test]', 'failed 550 5.1.2'],
  ['[0.0.0.0]', 'failed 550 5.1.2'],
  ['[224.0.0.1]', 'failed 550 5.1.2'],
  ['[]', 'failed 550 5.1.2'],
  [`[${own}]`, 'failed 554 5.4.6'],
  ['[127.0.0.1]', 'failed 550 5.4.4'],
  ['[ipv6:::1]', 'failed 550 5.4.4'],
  ['[ipv6:::ffff:127.0.0.1]', 'failed 550 5.4.4'],
  ['[169.254.1.2]', 'failed 550 5.4.4'],
  ['[ipv6:fe80::2]', 'failed 550 5.4.4'],
] as const) {
  test(`address literal ${literal}`, async () => {
    assert.deepEqual(await lookUp({}, literal), expected);
  });
}

test('equal MX hosts share the mail', async () => {
  const zone: Zone = {
    'd.test': {
      mx: [
        [1, 'a.test'],
        [1, 'b.test'],
      ],
    },
    'a.test': A,
    'b.test': A,
  };
  const lookup = new MxLookup(resolverOf(zone), testSettings());
  const first = new Map<string, number>();
  for (let i = 0; i < 200; i++) {
    const [best] = await lookup.targets('d.test');
    first.set(best?.name ?? '', (first.get(best?.name ?? '') ?? 0) + 1);
  }
  assert.ok((first.get('a.test') ?? 0) > 50 && (first.get('b.test') ?? 0) > 50, JSON.stringify([...first]));
});

test('an answer is asked for once, also by many at the same time, until its time is over', async (t) => {
  const clocks = mockClocks(t);
  const resolver = resolverOf({ 'd.test': A }, 30);
  const lookup = new MxLookup(resolver, testSettings());
  await Promise.all(Array.from({ length: 20 }, () => lookup.targets('d.test')));
  clocks.tick(29_000);
  await lookup.targets('d.test');
  assert.deepEqual(resolver.asked, ['MX d.test', 'A d.test']);
  clocks.tick(2000);
  await lookup.targets('d.test');
  assert.equal(resolver.asked.length, 4);
});

test('a bad answer is forgotten soon', async (t) => {
  const clocks = mockClocks(t);
  const zone: Zone = { 'd.test': { mx: 'error' } };
  const lookup = new MxLookup(resolverOf(zone), testSettings());
  await assert.rejects(lookup.targets('d.test'), Unreachable);
  zone['d.test'] = A;
  await assert.rejects(lookup.targets('d.test'), Unreachable);
  clocks.tick(5001);
  assert.equal((await lookup.targets('d.test')).length, 1);
});

test('the host of a route that has no address leaves mail waiting', async () => {
  const resolver = resolverOf({ 'up.test': A, 'silent.test': { a: 'error' }, 'failing.test': { a: 'servfail' } });
  assert.deepEqual(await hostTargets(resolver, '::1', 24), [{ name: '::1', address: '::1', port: 24 }]);
  assert.deepEqual(await hostTargets(resolver, 'up.test', 587), [
    { name: 'up.test', address: '203.0.113.1', port: 587 },
  ]);
  for (const host of ['gone.test', 'silent.test', 'failing.test']) {
    await assert.rejects(hostTargets(resolver, host, 25), { state: 'deferred', local: true });
  }
});

for (const [what, gone, code] of [
  ['NXDOMAIN', { mx: 'nxdomain' }, '4.1.2'],
  ['neither MX nor address', {}, '4.1.2'],
  ['an exchanger without an address', { mx: [[10, 'none.test']] }, '4.4.4'],
] as const) {
  test(`${what} for a domain that answered lately does not return its mail until it has lasted`, async (t) => {
    const clocks = mockClocks(t);
    const zone: Zone = { 'd.test': A };
    const lookup = new MxLookup(resolverOf(zone), testSettings());
    const state = async (): Promise<string> => {
      clocks.tick(61_000);
      try {
        return `${(await lookup.targets('d.test')).length} hosts`;
      } catch (error) {
        assert.ok(error instanceof Unreachable);
        return `${error.state} ${error.reply.enhanced}`;
      }
    };
    assert.equal(await state(), '1 hosts');
    zone['d.test'] = gone as unknown as Zone[string] & object;
    assert.equal(await state(), `deferred ${code}`);
    // It comes back: the patience starts again.
    zone['d.test'] = A;
    clocks.tick(3_600_000);
    assert.equal(await state(), '1 hosts');
    zone['d.test'] = gone as unknown as Zone[string] & object;
    assert.equal(await state(), `deferred ${code}`);
    clocks.tick(3_000_000);
    assert.equal(await state(), `deferred ${code}`);
    clocks.tick(600_000);
    assert.equal(await state(), `failed ${code.replace('4', '5')}`);
  });
}

test('a backup MX delivers to hosts of better preference alone, also where its own name has no answer', async () => {
  for (const a of [['127.0.0.1'], [], 'error', 'servfail'] as const) {
    const backup: Zone = {
      'd.test': {
        mx: [
          [10, 'best.test'],
          [20, 'edge.test'],
          [20, 'equal.test'],
          [30, 'worse.test'],
        ],
      },
      'edge.test': { a: typeof a === 'string' ? a : [...a] },
      'best.test': { a: ['203.0.113.1'] },
      'equal.test': { a: ['203.0.113.2'] },
      'worse.test': { a: ['203.0.113.3'] },
    };
    assert.deepEqual(await lookUp(backup), ['best.test 203.0.113.1'], String(a));
    // The best one is away for DNS: the others are not asked, and the mail waits.
    assert.match(
      String(await lookUp({ ...backup, 'best.test': { a: 'servfail' } })),
      /^deferred 451 4\.4\.3/,
      String(a),
    );
  }
});

test('a null MX is believed at once: the domain itself says so', async (t) => {
  const clocks = mockClocks(t);
  const zone: Zone = { 'd.test': A };
  const lookup = new MxLookup(resolverOf(zone), testSettings());
  await lookup.targets('d.test');
  zone['d.test'] = { mx: [[0, '']] };
  clocks.tick(61_000);
  await assert.rejects(lookup.targets('d.test'), { state: 'failed' });
});

test('targets say where the policy of the domain cannot be had now', async () => {
  const found = async (answer: StsAnswer) => {
    const lookup = new MxLookup(resolverOf({ 'd.test': A }), testSettings(), { sts: { find: async () => answer } });
    return (await lookup.targets('d.test'))[0]?.stsUnknown;
  };
  assert.equal(await found({ kind: 'none' }), undefined);
  const failure = { type: 'sts-policy-fetch-error', reason: 'late' } as const;
  assert.equal(await found({ kind: 'none', unknown: true, failure }), true);
});

test('a reload that sets or removes dns.dnssec counts for the next mail, whatever is remembered', async () => {
  const tlsa = { kind: 'found' as const, records: [Buffer.from([3, 1, 1, ...Buffer.alloc(32)])], expires: 0 };
  const resolver: Resolver = {
    ...resolverOf({}),
    mx: async () => ({ exists: true, records: [{ exchange: 'm.test', priority: 10 }], authenticated: true }),
    addresses: async () => ({ addresses: ['203.0.113.1'], ttl: 60, authenticated: true }),
    ask: (async (_name: string, type: string) =>
      type === 'TLSA'
        ? { ...tlsa, authenticated: true }
        : { kind: 'none', exists: true, expires: 0, authenticated: true }) as Resolver['ask'],
  };
  const config = (dnssec: boolean) => testSettings({ dns: { servers: ['127.0.0.1'], dnssec } }).current;
  const settings = testSettings();
  const lookup = new MxLookup(resolver, settings);
  const found: (string | undefined)[] = [];
  for (const dnssec of [false, true, false, true]) {
    settings.replace(config(dnssec));
    found.push((await lookup.targets('d.test'))[0]?.dane?.kind);
  }
  assert.deepEqual(found, [undefined, 'records', undefined, 'records']);
  assert.equal(
    (await lookup.targets('d.test', { tls: 'verified', byMessage: false }))[0]?.dane,
    undefined,
    'verified by authorities instead',
  );
});
