import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import { OpenConnections } from '#services/policy/connect/open-connections.ts';
import { connectFacts } from '#services/policy/gathering/connect.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { atOnce, checksOf, config, rulesOf } from '#test/unit/policy/fixtures.ts';

const said = (instance: string, clients: Record<string, number>, more: { all?: boolean; leaving?: boolean } = {}) => ({
  ...{ instance, all: false, leaving: false, ...more },
  clients: Object.entries(clients).map(([client, open]) => ({ client, open })),
});

test('connections to all other instances count, as long as those give signs of life', (t) => {
  const clocks = mockClocks(t);
  const open = new OpenConnections();
  open.hear(said('A', { '192.0.2.1': 3, '192.0.2.2': 1 }));
  open.hear(said('B', { '192.0.2.1': 2 }));
  assert.equal(open.elsewhere('192.0.2.1', 'A'), 2);
  assert.equal(open.elsewhere('192.0.2.1', 'C'), 5);
  assert.equal(open.elsewhere('192.0.2.1', undefined), 5);
  open.hear(said('A', { '192.0.2.1': 1, '192.0.2.2': 0 }));
  assert.equal(open.elsewhere('192.0.2.1', 'C'), 3);
  assert.equal(open.elsewhere('192.0.2.2', 'C'), 0);
  clocks.tick(3000);
  open.hear(said('B', {}));
  clocks.tick(3000);
  assert.equal(open.elsewhere('192.0.2.1', 'C'), 2, 'A has been silent for too long');
  open.hear(said('B', { '192.0.2.9': 1 }, { all: true }));
  assert.equal(open.elsewhere('192.0.2.1', 'C'), 0, 'what was said before does not hold any more');
  open.hear(said('B', {}, { leaving: true }));
  assert.equal(open.elsewhere('192.0.2.9', 'C'), 0);
});

test('a client has so many connections and no more; internal, exempt and shared addresses have any number', () => {
  const from = config({ checks: { 'connections-per-client': 3, exempt: ['198.51.100.0/24', 'big.example'] } });
  const ours = rulesOf(config({ relay: { allow: { hosts: ['10.0.0.0/8'] } } }));
  const checks = checksOf(from);
  checks.connections.hear(said('B', { '192.0.2.1': 1, '2001:db8::/64': 2, '10.0.0.1': 9, '198.51.100.1': 9 }));
  const ask = (address: string, others: number, more: { gateway?: boolean; name?: string } = {}, given = from) => {
    const dns = { lookup: () => more.name ?? null } as never;
    const client = { address, kind: 'relay' as const, gateway: more.gateway, counted: { instance: 'A', others } };
    const verdict = decide('connect', atOnce(connectFacts(client, { ...ours, dns, checks, config: given })));
    return verdict.action === 'accept'
      ? 'accept'
      : `${verdict.reply.code} ${verdict.reply.enhanced} ${verdict.reply.text}`;
  };
  const refused = '421 4.7.0 Too many connections from your address, please try again later';
  assert.equal(ask('192.0.2.1', 1), 'accept', 'the third');
  assert.equal(ask('192.0.2.1', 2), refused, 'the fourth');
  assert.equal(ask('2001:db8::5', 0), 'accept');
  assert.equal(ask('2001:db8::5', 1), refused, 'a /64 is one client');
  assert.equal(ask('10.0.0.1', 5), 'accept');
  assert.equal(ask('198.51.100.1', 5), 'accept');
  assert.equal(ask('192.0.2.1', 9, { name: 'out.big.example' }), 'accept');
  assert.equal(ask('192.0.2.1', 9, { gateway: true }), 'accept');
  assert.equal(ask('192.0.2.1', 9, {}, config()), 'accept', 'off');
});
