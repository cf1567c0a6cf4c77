import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop } from '#services/router/delivery/job.ts';
import { Secret } from '#shared/secret.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, smtpHop, testDelivery, testJob, testSettings } from './fixtures.ts';

test('next hops with the same key share connections, others do not', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery();
  await delivery.run(smtpHop(sink.port), testJob());
  await delivery.run(smtpHop(sink.port), testJob());
  assert.equal(sink.sessions.length, 1);
  await delivery.run({ ...smtpHop(sink.port), key: 'another' }, testJob());
  assert.equal(sink.sessions.length, 2);
});

test('a changed route is in force for the next message, and the old connection is closed', async () => {
  await using sink = await SmtpSink.start({ extensions: ['AUTH PLAIN'] });
  await using delivery = testDelivery();
  const route = (password: string): NextHop => ({
    key: 'smart',
    spec: { kind: 'smtp', host: '127.0.0.1', port: sink.port, user: 'u', password: new Secret(password) },
    tls: 'opportunistic',
  });
  await delivery.run(route('old'), testJob());
  await delivery.run(route('old'), testJob());
  assert.equal(sink.sessions.length, 1);
  await delivery.run(route('new'), testJob());
  assert.deepEqual(
    sink.sessions.map(({ auth }) => auth?.password),
    ['old', 'new'],
  );
  await waitFor(() => sink.sessions[0]?.closed, { what: 'the end of the old connection' });
  assert.equal(sink.sessions[0]?.lines.at(-1), 'QUIT');
});

test('changed time-outs and names are in force at the next connection', async () => {
  await using sink = await SmtpSink.start();
  const settings = testSettings();
  await using delivery = testDelivery({ settings });
  await delivery.run(smtpHop(sink.port), testJob());
  sink.dropAll();
  await waitFor(() => sink.sessions[0]?.closed, { what: 'the drop' });
  settings.replace({ ...settings.current, node: { ...settings.current.node, hostname: 'new.test' } });
  await delivery.run(smtpHop(sink.port), testJob());
  assert.equal(sink.sessions[1]?.helo, 'new.test');
});

test('after a stop every job comes back, for known next hops and new ones', async () => {
  await using sink = await SmtpSink.start();
  const delivery = testDelivery();
  await delivery.run(smtpHop(sink.port), testJob());
  await Promise.all([delivery.stop(), delivery.stop()]);
  for (const hop of [smtpHop(sink.port), { ...smtpHop(sink.port), key: 'new' }]) {
    assert.deepEqual((await delivery.run(hop, testJob())).map(brief), [['deferred 451 4.3.2 local']]);
  }
  assert.equal(sink.messages.length, 1);
});

test('a peer that cannot be reached is named with the reason', async () => {
  await using sink = await SmtpSink.start();
  const { port } = sink;
  await sink[Symbol.asyncDispose]();
  await using delivery = testDelivery();
  const [[result] = []] = await delivery.run(smtpHop(port), testJob());
  assert.equal(result?.state, 'deferred');
  assert.equal(result.outcome.host, `127.0.0.1[127.0.0.1]:${port}`);
  assert.equal(result.outcome.reply.enhanced, '4.4.1');
  assert.match(result.outcome.reply.text, /^cannot connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: .*ECONNREFUSED/);
});

test('many messages over few connections arrive once each', async () => {
  await using sink = await SmtpSink.start();
  await using delivery = testDelivery({ settings: testSettings({ delivery: { connections: 4 } }) });
  const jobs = Array.from({ length: 300 }, (_, i) => testJob({ message: `Subject: ${i}\r\n\r\nx\r\n` }));
  const results = await delivery.run(smtpHop(sink.port), ...jobs);
  assert.ok(results.every(([result]) => result?.state === 'delivered'));
  const subjects = sink.messages.map(({ data }) => data.toString().split('\r\n')[0]);
  assert.equal(subjects.length, 300);
  assert.equal(new Set(subjects).size, 300);
  assert.ok(sink.sessions.length <= 4);
});
