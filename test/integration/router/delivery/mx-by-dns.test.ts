import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop } from '#services/router/delivery/job.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** Delivery by MX against a real name server and sinks on port 25 of 127.0.0.x. */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? needs('named') : { skip: 'needs port 25' };

const mx = (domain: string): NextHop => ({ key: `mx:${domain}`, spec: { kind: 'mx', domain }, tls: 'opportunistic' });

function settings(server: string, listeners: object[] = []) {
  return testSettings({
    dns: { servers: [server], timeout: '300ms' },
    listeners,
    delivery: { 'allow-local': ['127.0.0.0/8', '::1'] },
  });
}

const ZONE = `
one       MX 10 m1
two       MX 20 m1
          MX 10 down
six       MX 10 both
both      AAAA ::1
          A 127.0.0.21
implicit  A 127.0.0.21
null      MX 0 .
alias     CNAME one
target    MX 10 cname
cname     CNAME m1
nowhere   TXT "no host"
lost      MX 10 gone
loop      CNAME loop2
loop2     CNAME loop
looping   MX 10 loop
partly    MX 10 down
          MX 20 loop
self      MX 10 edge
          MX 20 m1
edge      A 127.0.0.22
m1        A 127.0.0.21
down      A 127.0.0.23
`;

const CASES: [domain: string, expected: string, host?: string][] = [
  ['one.d.test', 'delivered 250 2.0.0', 'm1.d.test[127.0.0.21]:25'],
  ['two.d.test', 'delivered 250 2.0.0', 'm1.d.test[127.0.0.21]:25'],
  ['six.d.test', 'delivered 250 2.0.0', 'both.d.test[127.0.0.21]:25'],
  ['implicit.d.test', 'delivered 250 2.0.0', 'implicit.d.test[127.0.0.21]:25'],
  ['alias.d.test', 'delivered 250 2.0.0', 'm1.d.test[127.0.0.21]:25'],
  ['target.d.test', 'delivered 250 2.0.0', 'cname.d.test[127.0.0.21]:25'],
  ['[127.0.0.21]', 'delivered 250 2.0.0', '127.0.0.21[127.0.0.21]:25'],
  ['null.d.test', 'failed 550 5.1.10'],
  ['nowhere.d.test', 'failed 550 5.1.2'],
  ['missing.d.test', 'failed 550 5.1.2'],
  ['lost.d.test', 'failed 550 5.4.4'],
  ['self.d.test', 'failed 554 5.4.6'],
  ['loop.d.test', 'deferred 451 4.4.3'],
  ['looping.d.test', 'deferred 451 4.4.3'],
  // Outside its zones the server answers REFUSED, which tells nothing.
  ['other.test', 'deferred 451 4.4.3 local'],
];

test('mail goes where DNS says', options, async (t) => {
  await using names = await NameServer.start({ 'd.test': ZONE });
  await using sink = await SmtpSink.start({ host: '127.0.0.21', port: 25 });
  const listeners = [{ name: 'mx', kind: 'relay', address: '127.0.0.22', port: 25 }];
  await using delivery = testDelivery({ settings: settings(names.server, listeners) });
  for (const [domain, expected, host] of CASES) {
    await t.test(domain, async () => {
      const before = sink.messages.length;
      const [results = []] = await delivery.run(mx(domain), testJob({ recipients: [`b@${domain}`] }));
      assert.deepEqual(brief(results), [expected], results[0]?.outcome.reply.text);
      assert.equal(results[0]?.outcome.host, host);
      assert.equal(sink.messages.length - before, expected.startsWith('delivered') ? 1 : 0);
    });
  }
});

test('the first host is tried again only after the others while it is down', options, async () => {
  await using names = await NameServer.start({ 'd.test': ZONE });
  await using first = await SmtpSink.start({ host: '127.0.0.23', port: 25, script: () => '421 4.3.2 busy' });
  await using second = await SmtpSink.start({ host: '127.0.0.21', port: 25 });
  await using delivery = testDelivery({ settings: settings(names.server) });
  for (let i = 0; i < 3; i++) {
    const [results = []] = await delivery.run(mx('two.d.test'), testJob());
    assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
    second.dropAll();
  }
  assert.equal(first.sessions.length, 1);
  assert.equal(second.messages.length, 3);
});

test('a message that does not fit the first host goes to the second one, or waits for it', options, async () => {
  await using names = await NameServer.start({ 'd.test': ZONE });
  await using first = await SmtpSink.start({ host: '127.0.0.23', port: 25, extensions: ['SIZE 10'] });
  await using delivery = testDelivery({ settings: settings(names.server) });
  const brieflyTo = async (domain: string) => {
    const [results = []] = await delivery.run(mx(domain), testJob());
    return `${brief(results)} ${results[0]?.outcome.host}`;
  };
  assert.equal(await brieflyTo('partly.d.test'), 'deferred 451 4.4.3 undefined');
  assert.equal(await brieflyTo('[127.0.0.23]'), 'failed 552 5.3.4 127.0.0.23[127.0.0.23]:25');
  const second = 'm1.d.test[127.0.0.21]:25';
  assert.equal(await brieflyTo('two.d.test'), `deferred 451 4.4.1 ${second}`);
  await using sink = await SmtpSink.start({ host: '127.0.0.21', port: 25 });
  assert.equal(await brieflyTo('two.d.test'), `delivered 250 2.0.0 ${second}`);
  assert.equal(sink.messages.length, 1);
  assert.ok(first.sessions.every(({ lines }) => lines.every((line) => /^(?:EHLO|QUIT)/.test(line))));
});

test('a name server that stops answering delays mail, and no more', options, async () => {
  await using names = await NameServer.start({ 'd.test': ZONE });
  await using sink = await SmtpSink.start({ host: '127.0.0.21', port: 25 });
  await using delivery = testDelivery({ settings: settings(names.server) });
  await names.pause();
  const [silent = []] = await delivery.run(mx('one.d.test'), testJob());
  assert.deepEqual(brief(silent), ['deferred 451 4.4.3 local']);
  names.resume();
  const [found = []] = await delivery.run(mx('implicit.d.test'), testJob());
  assert.deepEqual(brief(found), ['delivered 250 2.0.0']);
  await names.stop();
  const [refused = []] = await delivery.run(mx('six.d.test'), testJob());
  assert.deepEqual(brief(refused), ['deferred 451 4.4.3 local']);
  assert.equal(sink.messages.length, 1);
});
