import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import { RelayRules } from '#services/policy/relay/relay-rules.ts';
import { config } from '#test/unit/policy/fixtures.ts';

type Lists = { hosts?: string[]; domains?: string[] };
const rules = (allow: Lists = {}, deny: Lists = {}) => new RelayRules(config({ relay: { allow, deny } }));
const peer = (address: string, name: string | null = null, user?: string) => ({ client: { address, name }, user });

const anyone = peer('192.0.2.7', 'mail.example.org');

/** Who may relay where under which lists. */
const RELAY: [
  allow: Lists,
  deny: Lists,
  who: ReturnType<typeof peer>,
  domain: string,
  expected: boolean,
  why: string,
][] = [
  [{}, {}, anyone, 'far.test', false, 'closed by default'],
  [{}, {}, peer('127.0.0.1', 'localhost'), 'far.test', false, 'closed for loopback too'],
  [{}, { hosts: ['*'], domains: ['*'] }, peer('192.0.2.7', null, 'alice'), 'far.test', true, 'a user is exempt'],
  [
    { hosts: ['10.0.0.0/8'] },
    { hosts: ['*'], domains: ['*'] },
    peer('10.1.2.3'),
    'far.test',
    true,
    'a named host under deny *',
  ],
  [
    { hosts: ['10.0.0.0/8'] },
    { hosts: ['*'], domains: ['*'] },
    peer('11.1.2.3'),
    'far.test',
    false,
    'another host under deny *',
  ],
  [
    { hosts: ['10.0.0.0/8'] },
    { hosts: ['10.1.0.0/16'] },
    peer('10.1.2.3'),
    'far.test',
    false,
    'deny wins: network in network',
  ],
  [
    { hosts: ['10.1.2.3'] },
    { hosts: ['10.0.0.0/8'] },
    peer('10.1.2.3'),
    'far.test',
    false,
    'deny wins: even over the narrower',
  ],
  [
    { hosts: ['10.0.0.0/8'] },
    { domains: ['evil.test'] },
    peer('10.1.2.3'),
    'x.evil.test',
    false,
    'deny wins: domain over host',
  ],
  [{ domains: ['far.test'] }, { hosts: ['192.0.2.0/24'] }, anyone, 'far.test', false, 'deny wins: host over domain'],
  [{ hosts: ['*'] }, {}, anyone, 'far.test', true, 'open on purpose'],
  [{ hosts: ['*'] }, { hosts: ['*'] }, anyone, 'far.test', false, '* against *'],
  [{ hosts: ['*'] }, { domains: ['*'] }, anyone, 'far.test', false, '* against * of the other list'],
  [{ domains: ['*'] }, { hosts: ['192.0.2.7'] }, anyone, 'far.test', false, '* against a name'],
  [{ domains: ['*'] }, {}, anyone, '[127.0.0.1]', true, 'a literal is a domain like others to *'],
  [{ domains: ['partner.test'] }, {}, anyone, 'partner.test', true, 'the domain itself'],
  [{ domains: ['partner.test'] }, {}, anyone, 'a.b.partner.test', true, 'a subdomain'],
  [{ domains: ['partner.test'] }, {}, anyone, 'notpartner.test', false, 'mere suffix text'],
  [{ domains: ['partner.test'] }, {}, anyone, 'partner.test.evil.test', false, 'mere prefix text'],
  [
    { domains: ['partner.test'] },
    { domains: ['secret.partner.test'] },
    anyone,
    'secret.partner.test',
    false,
    'a subdomain denied',
  ],
  [{ domains: ['partner.test'] }, { domains: ['secret.partner.test'] }, anyone, 'partner.test', true, 'its parent not'],
  [{ hosts: ['example.org'] }, {}, anyone, 'far.test', true, 'a confirmed name below an entry'],
  [{ hosts: ['ample.org'] }, {}, anyone, 'far.test', false, 'part of a label'],
  [{ hosts: ['example.org'] }, {}, peer('192.0.2.7', null), 'far.test', false, 'no confirmed name'],
  [{ hosts: ['192.0.2.7'] }, {}, peer('::ffff:192.0.2.7'), 'far.test', true, 'an IPv4 client of an IPv6 socket'],
  [{ hosts: ['::ffff:192.0.2.0/120'] }, {}, peer('192.0.2.7'), 'far.test', true, 'an IPv4-mapped network'],
  [{ hosts: ['0.0.0.0/0'] }, {}, peer('2001:db8::1'), 'far.test', false, 'all of IPv4 is not IPv6'],
  [{ hosts: ['2001:db8::/32'] }, {}, peer('2001:DB8:0::1'), 'far.test', true, 'IPv6, written another way'],
  [{ hosts: ['fe80::/10'] }, {}, peer('fe80::1%eth0'), 'far.test', true, 'a zone'],
  [{ hosts: ['10.0.0.0/8'] }, {}, peer('nonsense'), 'far.test', false, 'no address'],
  [{ hosts: ['0.0.0.0/0'] }, {}, peer('1'), 'far.test', false, 'a number is no address'],
];

for (const [allow, deny, who, domain, expected, title] of RELAY) {
  test(`relay, ${title}: ${expected ? 'yes' : 'no'}`, () => {
    const why: string[] = [];
    assert.equal(rules(allow, deny).mayRelay(who, domain, why), expected);
    assert.match(why.at(-1) ?? '', expected ? /may relay$/ : /relay refused$/);
  });
}

test('* opens the relay and trusts nobody; a denied host is not trusted', () => {
  assert.equal(rules({ hosts: ['*'] }).trustedHost(anyone), undefined);
  assert.equal(rules({ hosts: ['*', 'example.org'] }).trustedHost(anyone), 'relay.allow.hosts (example.org)');
  assert.equal(rules({ hosts: ['192.0.2.0/24'] }, { hosts: ['192.0.2.7'] }).trustedHost(anyone), undefined);
  assert.equal(
    rules({ hosts: ['192.0.2.0/24'] }, { hosts: ['*'] }).trustedHost(anyone),
    'relay.allow.hosts (192.0.2.0/24)',
  );
});

test('a gateway of a container network is inside only where its address alone is named', () => {
  const gateway = { client: { address: '172.18.0.1', name: 'gateway.example.org' }, gateway: true };
  for (const hosts of [['172.16.0.0/12'], ['172.18.0.0/31'], ['example.org'], ['172.18.0.2', '0.0.0.0/0']]) {
    assert.equal(rules({ hosts }).trustedHost(gateway), undefined);
    assert.equal(rules({ hosts }).mayRelay(gateway, 'far.test', []), false, String(hosts));
  }
  for (const entry of ['172.18.0.1', '::ffff:172.18.0.1']) {
    assert.equal(rules({ hosts: ['172.16.0.0/12', entry] }).trustedHost(gateway), `relay.allow.hosts (${entry})`);
    assert.equal(rules({ hosts: [entry] }).mayRelay(gateway, 'far.test', []), true);
  }
  assert.equal(rules({ hosts: ['172.18.0.1'] }, { hosts: ['172.16.0.0/12'] }).trustedHost(gateway), undefined);
  assert.equal(
    rules({ hosts: ['172.16.0.0/12'] }).trustedHost({ client: { address: '172.18.0.5', name: null } }),
    'relay.allow.hosts (172.16.0.0/12)',
  );
});

test('local domains are those named, not what is below them', () => {
  const local = new RelayRules(config({ domains: [{ name: 'other.test' }, { name: 'Example.COM', local: true }] }));
  assert.ok(local.isLocal('example.com'));
  assert.ok(!local.isLocal('sub.example.com') && !local.isLocal('other.test') && !local.isLocal('com'));
  assert.equal(local.firstLocal, 'example.com');
});

test('R4 a client is internal by network or by a confirmed name in a local domain, a gateway by its address alone', () => {
  const inner = new RelayRules(
    config({
      domains: [{ name: 'example.com', local: true }, { name: 'example.org' }],
      relay: { internal: { hosts: ['10.0.0.0/8', '172.18.0.1'], names: true } },
    }),
  );
  const scopeOf = (address: string, name: string | null, gateway?: boolean) => {
    const facts = { address, gateway, name, rules: inner };
    const verdict = decide('connect', facts);
    return verdict.action === 'accept' && verdict.scope;
  };
  assert.equal(scopeOf('10.1.2.3', null), 'internal');
  assert.equal(scopeOf('203.0.113.5', 'pc7.example.com'), 'internal');
  assert.equal(scopeOf('203.0.113.5', 'example.com'), 'internal');
  assert.equal(scopeOf('203.0.113.5', 'pc7.notexample.com'), 'external');
  assert.equal(scopeOf('203.0.113.5', 'mail.example.org'), 'external', 'a domain that is not local');
  assert.equal(scopeOf('203.0.113.5', null), 'external');
  assert.equal(scopeOf('172.18.0.1', 'gw.example.com', true), 'internal');
  assert.equal(scopeOf('10.0.0.1', 'gw.example.com', true), 'external');
  // What is internal is trusted only where the rules hold for external hosts alone.
  assert.equal(inner.trustedHost(peer('10.1.2.3')), undefined);
});

test('R5 what is exempt is trusted: its mail originates at this server', () => {
  const exempt = new RelayRules(
    config({
      domains: [{ name: 'example.com', local: true }],
      relay: { scope: 'external', internal: { names: true }, exclude: ['192.0.2.25'], deny: { hosts: ['192.0.2.25'] } },
    }),
  );
  assert.equal(exempt.trustedHost(peer('192.0.2.25')), 'relay.exclude (192.0.2.25)');
  assert.equal(
    exempt.trustedHost(peer('203.0.113.5', 'pc7.example.com')),
    'the local domain example.com, by its name pc7.example.com',
  );
  assert.equal(exempt.trustedHost(anyone), undefined);
  assert.equal(new RelayRules(config({ relay: { scope: 'none' } })).trustedHost(anyone), undefined);
});

test('R6 the steps come in their order: scope, excluded hosts, authentication, host, target domain', () => {
  const checked = new RelayRules(
    config({
      relay: {
        scope: 'external',
        internal: { hosts: ['10.0.0.0/8'] },
        exclude: ['192.0.2.25'],
        authenticated: 'checked',
        allow: { domains: ['partner.test'] },
      },
    }),
  );
  const steps = (who: ReturnType<typeof peer>, domain: string) => {
    const why: string[] = [];
    checked.mayRelay(who, domain, why);
    return why;
  };
  assert.deepEqual(steps(peer('10.1.2.3'), 'far.test'), ['client is in relay.internal.hosts (10.0.0.0/8): may relay']);
  assert.deepEqual(steps(peer('192.0.2.25'), 'far.test'), [
    'client is external',
    'client is in relay.exclude (192.0.2.25): may relay',
  ]);
  assert.deepEqual(steps(peer('192.0.2.7', null, 'alice'), 'partner.test'), [
    'client is external',
    'client is not in relay.exclude',
    'user alice is authenticated, and relay.authenticated is checked',
    'client is not in relay.allow.hosts',
    'domain partner.test is in relay.allow.domains (partner.test): may relay',
  ]);
});
