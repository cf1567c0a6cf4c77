import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Filters } from '#services/listener/filters/filters.ts';
import { afterMessage, FakeFilter, httpAnswer } from '#test/kit/filters/fake-filter.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, type SetUp, startListener } from '#test/unit/listener/harness.ts';

/** Filters that are hostile, broken or away, behind a listener: what the client hears, what is kept. */

const AWAY = '451 4.7.1 Message cannot be checked right now, please try again later';
const LIMIT = { timeout: '400ms' };

type Kind = 'rspamd' | 'clamd';
const entry = (type: Kind, port: number, more: object = {}) => ({
  ...{ name: type, type, url: `${type === 'rspamd' ? 'http' : 'tcp'}://127.0.0.1:${port}` },
  ...more,
});

/** The reply to one message, by a listener with these filters. */
async function send(port: number, body: string): Promise<string> {
  using client = await Dialogue.greeted(port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  return await client.say(`Subject: x\r\n\r\n${body}\r\n.`);
}

const says = (answer: object): string => httpAnswer(JSON.stringify(answer));
const silent = (socket: Socket): unknown => socket.resume();
const withTold = (value: unknown, name = 'X-Told') =>
  says({ action: 'no action', milter: { add_headers: { [name]: value } } });

/** Each gives no verdict: kind, what it does, and what the log says. */
const BROKEN: [what: string, kind: Kind, serve: (socket: Socket) => unknown, error: RegExp][] = [
  [
    'closes the connection',
    'rspamd',
    (socket) => socket.resume().end(),
    /closed the connection|hang up|ECONNRESET|EPIPE/,
  ],
  ['closes the connection', 'clamd', (socket) => socket.resume().end(), /closed the connection|ECONNRESET|EPIPE/],
  ['says nothing', 'rspamd', silent, /gives no verdict: the message has waited/],
  ['says nothing', 'clamd', silent, /gives no verdict: the message has waited/],
  ['is not a web server', 'rspamd', (socket) => socket.resume().write('220 mx.test ESMTP\r\n'), /Parse Error/],
  ['answers without JSON', 'rspamd', afterMessage(httpAnswer('<html>')), /its answer is not one of rspamd/],
  ['answers with other JSON', 'rspamd', afterMessage(says({ score: 'high' })), /is not one of rspamd: action /],
  ['answers null', 'rspamd', afterMessage(httpAnswer('null')), /is not one of rspamd/],
  [
    'answers with an error',
    'rspamd',
    afterMessage(httpAnswer('{"error":"no\\nworkers"}', '500 No')),
    /status 500: no\?workers/,
  ],
  ['sends the client elsewhere', 'rspamd', afterMessage(httpAnswer('', '302 Found')), /status 302/],
  [
    'answers without end',
    'rspamd',
    afterMessage(`HTTP/1.1 200 OK\r\n\r\n${' '.repeat(2_000_000)}`),
    /more than 1048576 bytes/,
  ],
  [
    'answers half',
    'rspamd',
    afterMessage('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"action"'),
    /has waited for it for/,
  ],
  [
    'injects a field',
    'rspamd',
    afterMessage(withTold('1\r\nBcc: victim@d.test')),
    /holds control characters or line ends/,
  ],
  ['injects a body', 'rspamd', afterMessage(withTold('1\n\nbody')), /holds control characters or line ends/],
  [
    'injects by a fold of nothing',
    'rspamd',
    afterMessage(withTold('1\r\n \r\n\r\nbody')),
    /control characters or line ends/,
  ],
  ['injects by a bare CR', 'rspamd', afterMessage(withTold('1\rBcc: x')), /control characters or line ends/],
  ['injects by a name', 'rspamd', afterMessage(withTold('1', 'X: 1\r\nBcc')), /is not the name of a header field/],
  ['has a field without end', 'rspamd', afterMessage(withTold('x'.repeat(2000))), /line of more than 998 characters/],
  [
    'has a thousand fields',
    'rspamd',
    afterMessage(withTold(Array.from({ length: 201 }, () => 'x'))),
    /not one of rspamd/,
  ],
  [
    'has fields of 100 KB',
    'rspamd',
    afterMessage(withTold(Array.from({ length: 150 }, () => 'x'.repeat(700)))),
    /have \d+ bytes/,
  ],
  ['answers rubbish', 'clamd', afterMessage('stream: \x1b[31mhello\0'), /it answers "stream: \?\[31mhello"/],
  ['answers without end', 'clamd', (socket) => socket.resume().write('x'.repeat(100_000)), /more than 4096 bytes/],
  ['finds a message too large', 'clamd', afterMessage('INSTREAM size limit exceeded. ERROR\0'), /StreamMaxLength/],
];

for (const [what, kind, serve, error] of BROKEN) {
  test(`a ${kind} that ${what}: 451, or a mark`, async () => {
    await using fake = await FakeFilter.start(serve);
    for (const onTrouble of ['defer', 'accept']) {
      const filters = [entry(kind, fake.port, { ...LIMIT, 'on-trouble': onTrouble })];
      await using server = await startListener({ config: { filters } });
      const said = await send(server.port, 'text');
      const { messages, open } = server.router;
      if (onTrouble === 'defer') assert.deepEqual([said, messages.length], [AWAY, 0]);
      else {
        assert.match(said, /^250 2\.0\.0 Queued/);
        const mark = `X-Sealpost-Unfiltered: ${kind}; the filter is not available\r\n`;
        assert.deepEqual(messages[0]?.prepend, ['Received: test\r\n', mark]);
      }
      assert.equal(open, 0, 'nothing is left at the router');
      const line = server.log.find(({ msg }) => msg.startsWith('mail filter failed: '));
      assert.match(String(line?.['error']), error);
      await waitFor(() => fake.open === 0, { what: 'the connection to the filter to be closed' });
    }
  });
}

test('a filter that reads nothing holds the client back, and then the message waits no longer', async () => {
  await using fake = await FakeFilter.start((socket) => socket.pause());
  await using server = await startListener({ config: { filters: [entry('rspamd', fake.port, LIMIT)] } });
  const said = await send(server.port, `${'x'.repeat(76)}\r\n`.repeat(250_000));
  assert.equal(said, AWAY);
  const line = server.log.find(({ msg }) => msg.startsWith('mail filter failed: '));
  assert.match(String(line?.['error']), /it does not take the message/);
});

test('a verdict that comes before the end of the message counts, whatever becomes of the connection', async () => {
  const early: [Kind, string, RegExp][] = [
    ['rspamd', says({ action: 'reject', messages: { smtp_message: 'No\r\n250 OK' } }), /^550 5\.7\.1 No 250 OK$/],
    ['clamd', 'stream: Ev\x01il FOUND\0', /^550 5\.7\.1 Message is rejected: it contains Ev\?il$/],
  ];
  for (const [kind, answer, expected] of early) {
    await using fake = await FakeFilter.start((socket) => {
      socket.once('data', () => socket.end(answer));
    });
    await using server = await startListener({ config: { filters: [entry(kind, fake.port)] } });
    assert.match(await send(server.port, `${'x'.repeat(76)}\r\n`.repeat(20_000)), expected);
    assert.equal(server.router.messages.length, 0);
  }
});

test('a client that leaves, or is refused by policy, leaves no connection to a filter behind', async () => {
  await using fake = await FakeFilter.start(silent);
  const refusal = { code: 554, enhanced: '5.7.1', text: 'Not here' };
  const policy: SetUp['policy'] = { 'message-check': async () => ({ action: 'reject', reply: refusal, why: [] }) };
  await using server = await startListener({ config: { filters: [entry('clamd', fake.port)] }, policy });
  assert.equal(await send(server.port, 'text'), '554 5.7.1 Not here');
  {
    using client = await Dialogue.greeted(server.port);
    await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
    client.write(`Subject: x\r\n\r\n${'x'.repeat(76)}\r\n`.repeat(2000));
    await waitFor(() => fake.open === 1, { what: 'the filter to be shown the message' });
  }
  await waitFor(() => fake.open === 0, { what: 'the connection to the filter to be closed' });
  assert.equal(server.router.open, 0);
});

test('a message whose filter has not decided when the service stops is deferred, whatever on-trouble says', async () => {
  await using fake = await FakeFilter.start(silent);
  const settings = new Settings(
    ConfigSchema.parse({ filters: [entry('clamd', fake.port, { 'on-trouble': 'accept' })] }),
  );
  const { log, lines } = logLines();
  const filters = new Filters({ settings, log });
  const client = { address: '192.0.2.1', name: null, helo: 'client.test' };
  const facts = { session: 'S', listener: 'mx', kind: 'relay', client, scope: 'external' } as const;
  const mail = { facts, hostname: 'mx.test', queueId: 'Q', reversePath: '', recipients: ['c@d.test'] };
  const screening = filters.screening(mail);
  screening?.write(Buffer.from('text'));
  const outcome = screening?.finish();
  await waitFor(() => fake.open === 1, { what: 'the filter to be asked' });
  filters.close();
  assert.equal((await outcome)?.action, 'defer');
  assert.deepEqual(lines(), []);
  await waitFor(() => fake.open === 0, { what: 'the connection to the filter to be closed' });
});

test('a client that sends little and then nothing does not occupy a filter', async () => {
  await using fake = await FakeFilter.start(silent);
  await using server = await startListener({ config: { filters: [entry('clamd', fake.port)] } });
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  client.write(`Subject: x\r\n\r\n${'x'.repeat(76)}\r\n`.repeat(500));
  using other = await Dialogue.greeted(server.port);
  await other.say('NOOP');
  assert.equal(fake.count, 0);
});

test('what is larger than max-size passes with a mark', async () => {
  await using fake = await FakeFilter.start(afterMessage('stream: OK\0'));
  const filters = [entry('clamd', fake.port, { 'max-size': '64KB' })];
  await using server = await startListener({ config: { filters } });
  assert.match(await send(server.port, 'x'.repeat(60_000)), /^250 /);
  assert.match(await send(server.port, `${'x'.repeat(76)}\r\n`.repeat(2000)), /^250 /);
  const mark = 'X-Sealpost-Unfiltered: clamd; the message is too large for it\r\n';
  assert.deepEqual(
    server.router.messages.map(({ prepend }) => prepend.slice(1)),
    [[], [mark]],
  );
});

test('what a rejection means is for the configuration to say', async () => {
  await using fake = await FakeFilter.start(afterMessage('stream: Evil FOUND\0'));
  const results: unknown[] = [];
  for (const onReject of ['reject', 'junk', 'discard']) {
    const filters = [entry('clamd', fake.port, { 'on-reject': onReject })];
    await using one = await startListener({ config: { filters } });
    const said = await send(one.port, 'text');
    const line = one.log.find(({ msg }) => /^message (accepted|refused|discarded)/.test(msg));
    results.push([said, one.router.messages.map(({ junk }) => junk), one.router.open, line?.msg, line?.['filters']]);
  }
  const filters = { clamd: 'found Evil' };
  assert.deepEqual(results, [
    ['550 5.7.1 Message is rejected: it contains Evil', [], 0, 'message refused', filters],
    ['250 2.0.0 Queued as Q1', [true], 0, 'message accepted', filters],
    ['250 2.0.0 Accepted', [], 0, 'message discarded: a mail filter threw it away', filters],
  ]);
});

test('a filter sees the mail of its listeners, their kind and its direction', async () => {
  await using fake = await FakeFilter.start(afterMessage('stream: OK\0'));
  const seen: [filter: object, connections: number][] = [
    [{}, 1],
    [{ listeners: ['mx'] }, 1],
    [{ listeners: ['other'] }, 0],
    [{ kind: 'relay', direction: 'incoming' }, 1],
    [{ kind: 'submission' }, 0],
    [{ direction: 'outgoing' }, 0],
  ];
  for (const [filter, connections] of seen) {
    const before = fake.count;
    await using server = await startListener({ config: { filters: [entry('clamd', fake.port, filter)] } });
    assert.match(await send(server.port, 'text'), /^250 /);
    assert.equal(fake.count - before, connections, JSON.stringify(filter));
  }
});
