import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Settings } from '#cluster/config/settings.ts';
import { Failures, logInOf } from '#services/policy/authentication/failures.ts';
import type { PolicyContract } from '#services/policy/contract.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import type { EventPayload } from '#shared/contract.ts';
import { config } from '#test/unit/policy/fixtures.ts';

const MINUTE = 60_000;

/** The failures of one policy service, by a clock of the test. */
function one(authentication = {}) {
  const clock = { now: 1000 * 604_800_000 };
  const settings = new Settings(config({ listeners: [], authentication }));
  const counts = new SharedCounts({ settings, peers: undefined, now: () => clock.now });
  return { clock, settings, failures: new Failures({ settings, counts }) };
}

function fail(failures: Failures, times: number, user: string, address: (i: number) => string): void {
  for (let i = 0; i < times; i++) failures.failed(logInOf(user, address(i)));
}

test('ten failures of a user from a network lock that pair, over all sessions, until the count has gone down', () => {
  const { clock, failures } = one();
  fail(failures, 9, 'alice', (i) => `192.0.2.${i}`);
  assert.equal(failures.tooMany(logInOf('alice', '192.0.2.99')), undefined);
  fail(failures, 1, 'ALICE', () => '192.0.2.7');
  assert.deepEqual(failures.tooMany(logInOf('alice', '192.0.2.99')), { user: 'alice', network: '192.0.2.0/24' });
  assert.equal(failures.tooMany(logInOf('bob', '192.0.2.99')), undefined);
  assert.equal(failures.tooMany(logInOf('alice', '198.51.100.1')), undefined);
  clock.now += 31 * MINUTE;
  assert.equal(failures.tooMany(logInOf('alice', '192.0.2.99')), undefined);
});

test('a name that looks like the count of somebody else neither locks nor opens that', () => {
  const limits = { 'user-from-network': '10/15m', network: '1000/15m', user: '100/15m' };
  const { failures } = one({ limits });
  fail(failures, 9, 'alice', () => '192.0.2.1');
  for (const name of ['192.0.2.0/24 alice', '* alice', 'from 192.0.2.0/24']) fail(failures, 20, name, () => '10.0.0.1');
  assert.equal(failures.tooMany(logInOf('alice', '192.0.2.1')), undefined);
  fail(failures, 1, 'alice', () => '192.0.2.1');
  fail(failures, 1, '192.0.2.0/24 alice', () => '10.0.9.1');
  assert.deepEqual(failures.tooMany(logInOf('alice', '192.0.2.1')), { user: 'alice', network: '192.0.2.0/24' });
});

test('a network that guesses at many users is locked, a /64 of IPv6 likewise', () => {
  for (const [network, address] of [
    ['192.0.2.0/24', (i: number) => `192.0.2.${i}`],
    ['2001:db8:0:1::/64', (i: number) => `2001:db8:0:1::${i}`],
  ] as const) {
    const { failures } = one();
    for (let i = 0; i < 100; i++) fail(failures, 1, `user-${i}`, () => address(i));
    assert.deepEqual(failures.tooMany(logInOf('alice', address(200))), { network });
  }
});

test('guesses from behind the gateway of a container network lock nobody else out who comes from there', () => {
  const { failures } = one();
  const behind = (user: string) => logInOf(user, '172.18.0.1', true);
  for (let i = 0; i < 200; i++) failures.failed(behind(`user-${i}`));
  for (let i = 0; i < 20; i++) failures.failed(behind('alice'));
  assert.equal(failures.tooMany(behind('alice')), undefined);
  assert.equal(failures.tooMany(behind('bob')), undefined);
  failures.succeeded(behind('alice'));
  assert.equal(failures.known(behind('alice')), false, 'anybody may come from there');
  for (let i = 0; i < 80; i++) failures.failed(behind('alice'));
  assert.deepEqual(failures.tooMany(behind('alice')), { user: 'alice' });
});

test('the limits are those of the configuration, and a change of it is in force at once', () => {
  const limits = { 'user-from-network': '3/5m', network: '20/5m', user: '50/h' };
  const { settings, failures } = one({ limits });
  fail(failures, 3, 'alice', () => '192.0.2.1');
  assert.deepEqual(failures.tooMany(logInOf('alice', '192.0.2.9')), { user: 'alice', network: '192.0.2.0/24' });
  for (let i = 0; i < 17; i++) fail(failures, 1, `user-${i}`, () => '192.0.2.1');
  assert.deepEqual(failures.tooMany(logInOf('bob', '192.0.2.9')), { network: '192.0.2.0/24' });
  fail(failures, 47, 'alice', (i) => `10.0.${i}.1`);
  assert.deepEqual(failures.tooMany(logInOf('alice', '198.51.100.1')), { user: 'alice' });
  settings.replace(config({ listeners: [], authentication: { limits: { ...limits, network: '21/5m' } } }));
  assert.equal(failures.tooMany(logInOf('bob', '192.0.2.9')), undefined);
});

test('the reply is held back longer the nearer a limit is, of the user or the network, up to five times the delay', () => {
  const { failures } = one({ delay: '200ms' });
  const delays = Array.from({ length: 12 }, (_, i) => {
    fail(failures, 1, 'alice', () => `192.0.2.${i}`);
    return failures.delay(logInOf('alice', '192.0.2.99'));
  });
  assert.deepEqual(delays, [200, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000]);
  assert.equal(failures.delay(logInOf('alice', '198.51.100.1')), 200, 'elsewhere it is far');
  for (let i = 0; i < 60; i++) fail(failures, 1, `user-${i}`, () => '203.0.113.7');
  assert.equal(failures.delay(logInOf('bob', '203.0.113.8')), 600, 'of the network, whatever the user');
  failures.succeeded(logInOf('bob', '203.0.113.8'));
  assert.equal(failures.delay(logInOf('bob', '203.0.113.8')), 200, 'which does not hold for a known user');
  fail(failures, 40, 'carol', () => '172.18.0.1');
  assert.equal(failures.delay(logInOf('carol', '172.18.0.1', true)), 400, 'behind a gateway the user alone counts');
  assert.equal(one({ delay: '0s' }).failures.delay(logInOf('bob', '192.0.2.99')), 0);
});

test('an attacker elsewhere, and one in the same network who guesses at others, do not lock out a known user', () => {
  const { clock, failures } = one();
  failures.succeeded(logInOf('alice', '203.0.113.5'));
  clock.now += 6 * 24 * 60 * MINUTE;
  fail(failures, 500, 'alice', (i) => `10.${i % 250}.${i >> 2}.1`);
  for (let i = 0; i < 200; i++) fail(failures, 1, `user-${i}`, () => '203.0.113.66');
  assert.equal(failures.tooMany(logInOf('alice', '203.0.113.5')), undefined);
  assert.deepEqual(failures.tooMany(logInOf('alice', '198.51.100.1')), { user: 'alice' }, 'strangers are');
});

test('who logs in every few days stays known, also when the window changes', () => {
  const { clock, failures } = one();
  for (let day = 0; day < 30; day += 5) {
    failures.succeeded(logInOf('alice', '203.0.113.5'));
    clock.now += 4.9 * 24 * 60 * MINUTE;
    assert.equal(failures.known(logInOf('alice', '203.0.113.5')), true, `day ${day + 5}`);
    clock.now += 0.1 * 24 * 60 * MINUTE;
  }
  clock.now += 15 * 24 * 60 * MINUTE;
  assert.equal(failures.known(logInOf('alice', '203.0.113.5')), false);
});

test('failures at one node count at the others, and who is known at one is known at all', () => {
  const heard: ((counts: EventPayload<PolicyContract, 'counts'>) => void)[] = [];
  const nodes = ['edge-1', 'edge-2'].map((name) => {
    const peers = {
      announce: (_: 'counts', counts: EventPayload<PolicyContract, 'counts'>) => {
        for (const hear of heard) hear(structuredClone(counts));
      },
      hear: (_: 'counts', hear: (typeof heard)[number]) => {
        heard.push(hear);
        return () => undefined;
      },
      connected: () => true,
    };
    const settings = new Settings(config({ node: { name }, listeners: [] }));
    const counts = new SharedCounts({ settings, peers: peers as never, now: () => 1000 * 604_800_000 });
    counts.start();
    return { counts, failures: new Failures({ settings, counts }) };
  });
  const [first, second] = nodes;
  assert.ok(first !== undefined && second !== undefined);
  first.failures.succeeded(logInOf('bob', '203.0.113.5'));
  fail(first.failures, 5, 'alice', () => '192.0.2.1');
  fail(second.failures, 5, 'alice', () => '192.0.2.1');
  for (const { counts } of nodes) counts.tell();
  for (const { failures } of nodes) {
    assert.deepEqual(failures.tooMany(logInOf('alice', '192.0.2.1')), { user: 'alice', network: '192.0.2.0/24' });
    assert.equal(failures.known(logInOf('bob', '203.0.113.5')), true);
  }
  for (const { counts } of nodes) counts.stop();
});
