import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop, SmtpHost } from '#services/router/delivery/job.ts';
import type { Resolver } from '#services/router/delivery/resolver.ts';
import { Secret } from '#shared/secret.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** A route with a list of hosts: which of them gets the mail, and what it is told. */

const HOST = '127.0.0.1';
const ONE = { delivery: { connections: 1, timeout: { connect: '1s', command: '500ms', data: '500ms' } } };

function listHop(...[first, ...others]: [SmtpHost, ...SmtpHost[]]): NextHop {
  const hop = smtpHop(first.port);
  return { ...hop, spec: { kind: 'smtp', ...first, others } };
}

/** Names that have no address; every other one is 127.0.0.1. */
function resolverWithout(...missing: string[]): { resolver: Resolver; asked: string[] } {
  const asked: string[] = [];
  const answer = async (host: string) => {
    asked.push(host);
    return { addresses: missing.includes(host) ? [] : [HOST], ttl: 60, authenticated: false };
  };
  const mx = async () => ({ exists: true, records: [], authenticated: false });
  const ask = async () => ({ kind: 'none', exists: true, expires: 0, authenticated: false }) as const;
  return { resolver: { machine: answer, addresses: answer, mx, ask }, asked };
}

test('the first host gets the mail; one that is down comes last for a while', async () => {
  await using a = await SmtpSink.start();
  await using b = await SmtpSink.start();
  await using delivery = testDelivery({ settings: testSettings({ delivery: { ...ONE.delivery, idle: '1ms' } }) });
  const hop = listHop({ host: HOST, port: a.port }, { host: HOST, port: b.port });
  await delivery.run(hop, testJob());
  assert.deepEqual([a.messages.length, b.messages.length], [1, 0]);
  const { port } = a;
  await a[Symbol.asyncDispose]();
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.equal(b.messages.length, 1);
  await using back = await SmtpSink.start({ port });
  await delivery.run(hop, testJob());
  assert.deepEqual([back.messages.length, b.messages.length], [0, 2]);
});

for (const [what, script] of [
  ['does not greet', { CONNECT: '554 5.3.2 no service' }],
  ['wants a login', { MAIL: '530 5.7.0 Authentication required' }],
  ['has no room', { MAIL: '452 4.3.1 disk full' }],
  ['hangs up at DATA', { DATA: 'close' }],
] as [string, Record<string, string>][]) {
  test(`a host that ${what} does not keep mail from the next one`, async () => {
    await using a = await SmtpSink.start({ script: ({ verb }) => script[verb] });
    await using b = await SmtpSink.start();
    await using delivery = testDelivery({ settings: testSettings(ONE) });
    const hop = listHop({ host: HOST, port: a.port }, { host: HOST, port: b.port });
    const [results = []] = await delivery.run(hop, testJob());
    assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
    assert.deepEqual([a.messages.length, b.messages.length], [0, 1]);
  });
}

test('each host is told what its own entry says, and one without a user nothing', async () => {
  const extensions = ['AUTH PLAIN'];
  const refuses = {
    extensions,
    script: ({ verb }: { verb: string }) => (verb === 'AUTH' ? '535 5.7.8 no' : undefined),
  };
  await using a = await SmtpSink.start(refuses);
  await using b = await SmtpSink.start({ extensions, script: ({ verb }) => (verb === 'MAIL' ? 'close' : undefined) });
  await using c = await SmtpSink.start({ extensions });
  await using delivery = testDelivery({ settings: testSettings(ONE) });
  const hop = listHop(
    { host: HOST, port: a.port, user: 'at a', password: new Secret('for a') },
    { host: HOST, port: b.port },
    { host: HOST, port: c.port, user: 'at c', password: new Secret('for c') },
  );
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.deepEqual(a.sessions.at(-1)?.auth, { user: 'at a', password: 'for a' });
  assert.equal(b.sessions.length, 1);
  assert.equal(b.sessions[0]?.auth, undefined);
  assert.deepEqual(c.sessions[0]?.auth, { user: 'at c', password: 'for c' });
});

test('two users of one host are two entries', async () => {
  await using sink = await SmtpSink.start({
    extensions: ['AUTH PLAIN'],
    script: ({ verb, session }) => (verb === 'MAIL' && session.auth?.user === 'one' ? '451 4.7.0 quota' : undefined),
  });
  await using delivery = testDelivery({ settings: testSettings(ONE) });
  const host = { host: HOST, port: sink.port };
  const hop = listHop(
    { ...host, user: 'one', password: new Secret('1') },
    { ...host, user: 'two', password: new Secret('2') },
  );
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.equal(sink.messages[0]?.session.auth?.user, 'two');
});

test('a host that cannot be found keeps nothing back, and names behind a good host are not asked for', async () => {
  await using b = await SmtpSink.start();
  const { resolver, asked } = resolverWithout('gone.test');
  await using delivery = testDelivery({ settings: testSettings(ONE), resolver });
  const behind = { host: 'behind.test', port: b.port };
  const hop = listHop({ host: 'gone.test', port: 25 }, { host: 'there.test', port: b.port }, behind);
  const [results = []] = await delivery.run(hop, testJob());
  assert.deepEqual(brief(results), ['delivered 250 2.0.0']);
  assert.deepEqual(asked, ['gone.test', 'there.test']);
});

test('mail waits where no host of the list can be used, and says why the last one cannot', async () => {
  const { resolver } = resolverWithout('gone.test', 'lost.test');
  await using delivery = testDelivery({ settings: testSettings(ONE), resolver });
  const down = { host: 'down.test', port: await freePort() };
  const [one = []] = await delivery.run(listHop({ host: 'gone.test', port: 25 }, down), testJob());
  assert.deepEqual(brief(one), ['deferred 451 4.4.1']);
  assert.match(one[0]?.outcome.reply.text ?? '', /cannot connect to down\.test/);
  const [two = []] = await delivery.run(
    listHop({ host: 'gone.test', port: 25 }, { host: 'lost.test', port: 25 }),
    testJob(),
  );
  assert.deepEqual(brief(two), ['deferred 451 4.4.4 local']);
  assert.match(two[0]?.outcome.reply.text ?? '', /host lost\.test of the route has no address/);
});

test('LMTP servers stand in for each other, and each recipient has its own reply', async () => {
  await using b = await SmtpSink.start({
    lmtp: true,
    script: ({ verb, address }) => (verb === 'MESSAGE' && address === 'full@x.test' ? '452 4.2.2 full' : undefined),
  });
  await using delivery = testDelivery({ settings: testSettings(ONE) });
  const hop: NextHop = {
    key: 'lmtp://a, lmtp://b',
    spec: { kind: 'lmtp', host: HOST, port: await freePort(), others: [{ host: HOST, port: b.port }] },
    tls: 'opportunistic',
  };
  const [results = []] = await delivery.run(hop, testJob({ recipients: ['b@x.test', 'full@x.test'] }));
  assert.deepEqual(brief(results), ['delivered 250 2.0.0', 'deferred 452 4.2.2']);
  assert.equal(results[0]?.notice, 'passed');
});
