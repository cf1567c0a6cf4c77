import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HopSource, NextHop } from '#services/router/delivery/job.ts';
import type { Resolver } from '#services/router/delivery/resolver.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from './fixtures.ts';

/** The addresses that the connections of a route come from, and lead to. */

/** Every name has these addresses. */
function resolverOf(addresses: string[]): Resolver {
  const answer = async () => ({ addresses, ttl: 60, authenticated: false });
  const mx = async () => ({ exists: true, records: [], authenticated: false });
  const ask = async () => ({ kind: 'none', exists: true, expires: 0, authenticated: false }) as const;
  return { machine: answer, addresses: answer, mx, ask };
}

const from = (port: number, source: HopSource): NextHop => ({ ...smtpHop(port, { host: 'relay.test' }), source });

test('connections come from the address of the route, with its name in EHLO', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ resolver: resolverOf(['127.0.0.1']) });
  await delivery.run(from(sink.port, { ipv4: '127.0.0.5', ehlo: 'five.test' }), testJob());
  await delivery.run({ ...from(sink.port, {}), key: 'another' }, testJob());
  assert.deepEqual(
    sink.sessions.map(({ remote, helo }) => [remote.split(':')[0], helo]),
    [
      ['127.0.0.5', 'five.test'],
      ['127.0.0.1', 'edge.test'],
    ],
  );
});

test('mail waits without an attempt while this machine does not have the address', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ resolver: resolverOf(['127.0.0.1']) });
  const [results = []] = await delivery.run(from(sink.port, { ipv4: '192.0.2.77' }), testJob());
  assert.deepEqual(brief(results), ['deferred 451 4.4.1 local']);
  assert.match(results[0]?.outcome.reply.text ?? '', /this machine does not have the address 192\.0\.2\.77/);
  assert.equal(sink.sessions.length, 0);
});

test('a family alone leads to its addresses, and mail waits where a host has none', async () => {
  await using four = await SmtpSink.start();
  await using six = await SmtpSink.start({ host: '::1', port: four.port });
  await using both = testDelivery({ resolver: resolverOf(['::1', '127.0.0.1']) });
  await both.run(from(four.port, { family: 'ipv4' }), testJob());
  assert.deepEqual([four.messages.length, six.messages.length], [1, 0]);
  await both.run(from(four.port, { family: 'ipv6' }), testJob());
  assert.deepEqual([four.messages.length, six.messages.length], [1, 1]);

  const mx: NextHop = { key: 'mx:six.test', spec: { kind: 'mx', domain: 'six.test' }, tls: 'off' };
  const settings = testSettings({ delivery: { 'allow-local': ['::1'] } });
  await using one = testDelivery({ resolver: resolverOf(['::1']), settings });
  for (const hop of [from(four.port, {}), mx]) {
    const [results = []] = await one.run({ ...hop, source: { family: 'ipv4' } }, testJob());
    assert.deepEqual(brief(results), ['deferred 451 4.4.4'], hop.key);
    assert.match(results[0]?.outcome.reply.text ?? '', /the route uses IPv4 alone/);
  }
});
