import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeloFaults } from '#services/policy/sender/helo-faults.ts';
import { config } from '#test/unit/policy/fixtures.ts';

const faults = (refuse: string[]) =>
  new HeloFaults(
    config({
      node: { hostname: 'mx1.example.com' },
      domains: [{ name: 'example.com', local: true }, { name: 'signed.example' }],
      listeners: [{ name: 'mx', kind: 'relay', port: 25, tls: 'none', address: '203.0.113.25' }],
      checks: { helo: { refuse, own: ['nat.example.net', '198.51.100.0/28', '2001:db8::25'] } },
    }),
  );
const all = faults(['bare-address', 'own-name', 'syntax', 'not-fqdn']);

const TABLE: [helo: string, fault: string | undefined, why?: string][] = [
  ['mail.example.org', undefined],
  ['MAIL.Example.ORG', undefined],
  ['mail.example.org.', undefined, 'a root dot is harmless'],
  ['mail_out.example.org', undefined, 'underscores exist'],
  ['[192.0.2.1]', undefined],
  ['[IPv6:2001:db8::1]', undefined],
  ['[ipv6:2001:db8::1]', undefined],
  ['sub.example.com', undefined, 'below a local domain is not the domain'],
  ['signed.example', undefined, 'a domain that is not local'],
  ['192.0.2.1', 'bare-address'],
  ['2001:db8::1', 'bare-address'],
  ['mx1.example.com', 'own-name'],
  ['MX1.example.COM', 'own-name'],
  ['example.com', 'own-name', 'a local domain'],
  ['nat.example.net', 'own-name', 'checks.helo.own'],
  ['[198.51.100.3]', 'own-name', 'a network of checks.helo.own'],
  ['198.51.100.3', 'own-name', 'ours, and bare'],
  ['[IPv6:2001:DB8:0::25]', 'own-name', 'written another way'],
  ['[203.0.113.25]', 'own-name', 'the address of a listener'],
  ['[127.0.0.1]', 'own-name', 'an address of this machine'],
  ['[::ffff:127.0.0.1]', 'syntax', 'an IPv6 literal has a tag'],
  ['[IPv6:::ffff:127.0.0.1]', 'own-name', 'an IPv4-mapped literal is that address'],
  ['[192.0.2.256]', 'syntax'],
  ['[192.0.2.1', 'syntax'],
  ['[2001:db8::1]', 'syntax'],
  ['?.example', 'syntax', 'what was not ASCII'],
  ['-x.example', 'syntax'],
  ['x..example', 'syntax'],
  ['.', 'syntax'],
  [`${'x'.repeat(64)}.example`, 'syntax'],
  ['localhost', 'not-fqdn'],
  ['HP-LASERJET', 'not-fqdn'],
];

for (const [helo, fault, why] of TABLE) {
  test(`EHLO ${helo.slice(0, 40)}: ${fault ?? 'nothing wrong'}${why === undefined ? '' : ` (${why})`}`, () => {
    assert.equal(all.of(helo), fault);
  });
}

test('only what is named is refused', () => {
  assert.equal(faults([]).any, false);
  const addresses = faults(['bare-address']);
  assert.equal(addresses.of('localhost'), undefined);
  assert.equal(addresses.of('198.51.100.3'), 'bare-address', 'ours too, which is not refused');
});
