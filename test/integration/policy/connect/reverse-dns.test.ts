import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { ReverseDns } from '#services/policy/connect/reverse-dns.ts';
import { silentLogger } from '#shared/log.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';

/** The zones of these clients. 198.51.100.0/24 is refused, which is what a lame delegation looks like. */
const ZONES = {
  'example.test': `
mail A 192.0.2.1
multi A 192.0.2.99
multi A 192.0.2.3
six AAAA 2001:db8::25
liar A 192.0.2.200
cname CNAME mail`,
  '2.0.192.in-addr.arpa': `
1 PTR MAIL.Example.Test.
2 PTR liar.example.test.
3 PTR nowhere.example.test.
3 PTR multi.example.test.
5 PTR localhost.
6 PTR nowhere.example.test.`,
  [`${'0.'.repeat(22)}8.b.d.0.1.0.0.2.ip6.arpa`]: '5.2 PTR six.example.test.',
};

let bind: NameServer;
before(async () => {
  bind = await NameServer.start(ZONES);
});
after(() => bind[Symbol.asyncDispose]());

const dns = (timeout = 2000) => new ReverseDns({ servers: [bind.server], timeout }, silentLogger);

const NAMES: [address: string, expected: string | null | undefined, why: string][] = [
  ['192.0.2.1', 'mail.example.test', 'confirmed, in lower case'],
  ['::ffff:192.0.2.1', 'mail.example.test', 'IPv4 on an IPv6 socket'],
  ['192.0.2.2', null, 'a name that leads elsewhere'],
  ['192.0.2.3', 'multi.example.test', 'the second of two names, the second of two addresses'],
  ['192.0.2.5', undefined, 'a name that claims to be this machine, which the server does not serve'],
  ['192.0.2.6', null, 'a name that does not exist'],
  ['192.0.2.7', null, 'no name'],
  ['198.51.100.1', undefined, 'a zone that is refused'],
  ['2001:db8::25', 'six.example.test', 'IPv6'],
  ['2001:DB8:0:0::25', 'six.example.test', 'IPv6, written another way'],
  ['127.9.9.9', 'localhost', 'loopback'],
  ['nonsense', null, 'no address'],
];

for (const [address, expected, why] of NAMES) {
  test(`${address}: ${why}`, async () => assert.equal(await dns().lookup(address), expected));
}

test('a known client has its name without a promise', async () => {
  const names = dns();
  const [one, two] = [names.lookup('192.0.2.1'), names.lookup('192.0.2.1')];
  assert.ok(one instanceof Promise);
  assert.deepEqual(await Promise.all([one, two]), ['mail.example.test', 'mail.example.test']);
  assert.equal(names.lookup('192.0.2.1'), 'mail.example.test');
  assert.equal(await names.lookup('192.0.2.7'), null);
  assert.equal(names.lookup('192.0.2.7'), null);
});

test('a name server that never answers costs the time limit; closing costs nothing', async (t) => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const names = new ReverseDns({ servers: [`127.0.0.1:${silent.address().port}`], timeout: 300 }, silentLogger);
  const started = performance.now();
  assert.equal(await names.lookup('192.0.2.1'), undefined);
  assert.ok(performance.now() - started < 4000);
  assert.equal(names.lookup('192.0.2.1'), undefined, 'the trouble is remembered for a while');
  const slow = new ReverseDns({ servers: [`127.0.0.1:${silent.address().port}`], timeout: 60_000 }, silentLogger);
  const waiting = slow.lookup('192.0.2.1');
  slow.close();
  const closed = performance.now();
  assert.equal(await waiting, undefined);
  assert.ok(performance.now() - closed < 10_000);
});
