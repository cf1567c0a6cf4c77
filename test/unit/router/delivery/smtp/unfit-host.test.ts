import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Destination } from '#services/router/delivery/destination.ts';
import { SmtpTransport } from '#services/router/delivery/smtp/transport.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import type { Target } from '#services/router/delivery/tls-policy/wanted.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { brief, type TestJob, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** A host and what it offers; `down`: nobody listens there. */
type Peer = { name?: string } & (SinkOptions | { down: true });

/** A domain with the mail exchangers mx1.test, mx2.test …, best first. */
async function domain(...peers: Peer[]) {
  const stack = new AsyncDisposableStack();
  const sinks: SmtpSink[] = [];
  const targets: Target[] = [];
  const settings = testSettings({ delivery: { timeout: { connect: '2s', command: '2s', data: '2s' } } });
  for (const [i, { name = `mx${i + 1}.test`, ...peer }] of peers.entries()) {
    const sink = await SmtpSink.start({ ...('down' in peer ? {} : peer), host: `127.0.0.${i + 1}` });
    targets.push({ name, address: sink.host, port: sink.port });
    sinks.push(stack.use(sink));
    if ('down' in peer) await sink[Symbol.asyncDispose]();
  }
  const { log, lines } = logLines();
  const transport = new SmtpTransport({
    protocol: 'smtp',
    ca: undefined,
    smartHost: false,
    sources: [
      {
        targets: async () => targets,
        credentials: undefined,
        tls: {
          rules: { tls: 'opportunistic', byMessage: false, implicitTls: false, secret: undefined },
          ...{ memory: undefined, ifLost: () => 'go-on', lost: new LostDestinations(log), onTlsResult: undefined, log },
        },
      },
    ],
    settings: () => ({ hostname: 'edge.test', timeouts: settings.current.delivery.timeout }),
    log,
  });
  const destination = new Destination(
    { key: 'x.test', spec: { kind: 'mx', domain: 'x.test' }, tls: 'opportunistic' },
    transport,
    { settings, log },
  );
  stack.defer(() => destination.stop(1000));
  return {
    sinks,
    lines,
    run: async (job: TestJob) => {
      destination.submit(job);
      const results = await job.done;
      // Then the worker is idle, and its connection takes the next job.
      await setImmediate();
      return results;
    },
    taken: () => sinks.map(({ messages }) => messages.length),
    sessions: () => sinks.map(({ sessions }) => sessions.length),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const EIGHT_BIT = { extensions: ['SMTPUTF8'] };
/** What a host does not offer, a message that needs it, and why the message fails where no host offers it. */
const LACKS: [name: string, SinkOptions, Parameters<typeof testJob>[0], string][] = [
  ['room for its SIZE', { extensions: ['SIZE 10', '8BITMIME', 'SMTPUTF8'] }, {}, 'failed 552 5.3.4'],
  ['8BITMIME', EIGHT_BIT, { eightBitBody: true }, 'failed 554 5.6.3'],
  [
    'SMTPUTF8',
    { extensions: ['8BITMIME'] },
    { smtpUtf8: true, recipients: ['ü@x.test', 'b@x.test'] },
    'failed 553 5.6.7',
  ],
];
for (const [name, peer, message, failed] of LACKS) {
  test(`a best host without ${name} does not keep the message from the next one`, async () => {
    await using site = await domain(peer, {});
    const job = testJob(message);
    const all = (result: string): string[] => job.recipients.map(() => result);
    assert.deepEqual(brief(await site.run(job)), all('delivered 250 2.0.0'));
    assert.deepEqual(site.taken(), [0, 1]);
    assert.equal(job.opened, 1);
    assert.deepEqual(site.sinks[0]?.sessions[0]?.lines, ['EHLO edge.test', 'QUIT']);
    const line = site.lines().find(({ msg }) => msg.includes('the next one is tried'));
    assert.match(String(line?.['reply']), new RegExp(failed.slice('failed '.length)));
  });

  test(`a message fails where every host is without ${name}, however many there are`, async () => {
    await using site = await domain(peer, peer, peer, peer, peer, peer);
    const job = testJob(message);
    const results = await site.run(job);
    assert.deepEqual(
      brief(results),
      job.recipients.map(() => failed),
    );
    assert.match(results[0]?.outcome.host ?? '', /^mx6\.test/);
    assert.deepEqual(site.sessions(), [1, 1, 1, 1, 1, 1]);
  });
}

for (const [name, peers, expected] of [
  ['an unreachable one after it', [EIGHT_BIT, { down: true }], 'deferred 451 4.4.1'],
  ['an unreachable one before it', [{ down: true }, EIGHT_BIT], 'deferred 451 4.4.1'],
  [
    'one before it that defers',
    [{ script: ({ verb }) => (verb === 'DATA' ? '451 4.3.0 no' : undefined) }, EIGHT_BIT],
    'deferred 451 4.3.0',
  ],
  [
    'one after it that defers',
    [EIGHT_BIT, { script: ({ verb }) => (verb === 'DATA' ? '451 4.3.0 no' : undefined) }],
    'deferred 451 4.3.0',
  ],
  [
    'one after it that refuses',
    [EIGHT_BIT, { script: ({ verb }) => (verb === 'RCPT' ? '550 5.1.1 no' : undefined) }],
    'failed 550 5.1.1',
  ],
  [
    'an unreachable address of its own',
    [
      { name: 'mx.test', down: true },
      { name: 'mx.test', ...EIGHT_BIT },
    ],
    'failed 554 5.6.3',
  ],
] as const satisfies readonly (readonly [string, readonly Peer[], string])[]) {
  test(`a host that a message does not fit and ${name}: ${expected}`, async () => {
    await using site = await domain(...peers);
    assert.deepEqual(brief(await site.run(testJob({ eightBitBody: true }))), [expected]);
  });
}

test('a message that waits for an unreachable host says which hosts it does not fit', async () => {
  await using site = await domain(EIGHT_BIT, { down: true });
  const [result] = await site.run(testJob({ eightBitBody: true }));
  assert.match(result?.outcome.host ?? '', /^mx2\.test/);
  const text =
    /^the message has 8-bit content, mx1\.test\[.*8BITMIME; mx2\.test\[.*, which may take it, cannot be used: /;
  assert.match(result?.outcome.reply.text ?? '', text);
});

test('a refused recipient stays refused where the message does not fit the next host', async () => {
  const script: SinkOptions['script'] = ({ verb, address }) => {
    if (verb === 'DATA') return '451 4.3.0 no';
    return address === 'b@x.test' ? '550 5.1.1 nobody' : undefined;
  };
  await using site = await domain({ script }, EIGHT_BIT, { down: true });
  const results = await site.run(testJob({ eightBitBody: true, recipients: ['b@x.test', 'c@x.test'] }));
  assert.deepEqual(brief(results), ['failed 550 5.1.1', 'deferred 451 4.3.0']);
});

test('a message that does not fit does not leave the envelope of the one before to the next one', async () => {
  let open = false;
  const script: SinkOptions['script'] = ({ verb, address }) => {
    if (verb === 'RSET') open = false;
    if (verb !== 'MAIL') return verb === 'RCPT' && address === 'nobody@x.test' ? '550 5.1.1 nobody' : undefined;
    if (open) return '503 5.5.1 nested MAIL';
    open = true;
    return undefined;
  };
  await using site = await domain({ extensions: ['SIZE 1000'], script });
  assert.deepEqual(brief(await site.run(testJob({ recipients: ['nobody@x.test'] }))), ['failed 550 5.1.1']);
  assert.deepEqual(brief(await site.run(testJob({ size: 2000 }))), ['failed 552 5.3.4']);
  assert.deepEqual(brief(await site.run(testJob())), ['delivered 250 2.0.0']);
  assert.equal(site.sessions()[0], 1);
});
