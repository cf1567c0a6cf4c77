import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHop, RecipientResult } from '#services/router/delivery/job.ts';
import type { Resolver } from '#services/router/delivery/resolver.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { type SinkAction, type SinkOptions, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, MESSAGE, smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

const QUICK = { timeout: { connect: '300ms', command: '200ms', data: '200ms' }, connections: 1 };
const HOST_DOWN: SinkAction = { reply: '421 4.3.2 down', close: true };

/** Hosts of one name: 127.0.0.1, 127.0.0.2 …, on the same port, best first. */
async function hosts(...scripts: (Record<string, SinkAction> | SinkOptions)[]) {
  const stack = new AsyncDisposableStack();
  const sinks: SmtpSink[] = [];
  for (const [i, given] of scripts.entries()) {
    const script: SinkOptions['script'] = ({ verb, address }) => {
      const actions = given as Record<string, SinkAction>;
      return actions[`${verb} ${address}`] ?? actions[verb];
    };
    const options = 'script' in given || 'extensions' in given ? given : { script };
    const port = sinks[0] === undefined ? {} : { port: sinks[0].port };
    sinks.push(stack.use(await SmtpSink.start({ ...options, ...port, host: `127.0.0.${i + 1}` })));
  }
  const addresses = sinks.map(({ host }) => host);
  const answer = async () => ({ addresses, ttl: 60, authenticated: false });
  const resolver: Resolver = {
    machine: answer,
    addresses: answer,
    mx: async () => ({ exists: true, records: [], authenticated: false }),
    ask: async () => ({ kind: 'none', exists: true, expires: 0, authenticated: false }),
  };
  const { log, lines } = logLines();
  const settings = testSettings({ delivery: QUICK });
  const delivery = stack.use(testDelivery({ settings, resolver, log }));
  const hop: NextHop = smtpHop(sinks[0]?.port ?? 0, { host: 'relay.test' });
  return {
    sinks,
    lines,
    settings,
    stop: () => delivery.stop(),
    run: async (job = testJob()) => (await delivery.run(hop, job))[0] ?? [],
    taken: () => sinks.map(({ messages }) => messages.filter(({ recipients }) => recipients.length > 0).length),
    sessions: () => sinks.map(({ sessions }) => sessions.length),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** What the best host does, before it has the message; the next one takes it in the same attempt. */
const ENDS: [string, SinkAction][] = [
  ['closes', 'close'],
  ['says 421', HOST_DOWN],
  ['says 451', '451 4.3.0 no database'],
  ['is silent', 'hang'],
  ['talks nonsense', 'what?'],
];
for (const verb of ['CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA']) {
  for (const [name, action] of ENDS) {
    for (const extensions of [['PIPELINING'], []]) {
      test(`a best host ${extensions.length > 0 ? '' : 'without pipelining '}that ${name} at ${verb} does not keep mail from the next one`, async () => {
        await using site = await hosts(
          { extensions, script: (step) => (step.verb === verb ? action : undefined) },
          {},
          {},
        );
        const job = testJob({ recipients: ['b@x.test', 'c@x.test'] });
        assert.deepEqual(brief(await site.run(job)), ['delivered 250 2.0.0', 'delivered 250 2.0.0']);
        assert.deepEqual(site.taken(), [0, 1, 0]);
        assert.equal(site.sinks[1]?.messages[0]?.data.toString(), MESSAGE);
        assert.equal(job.opened, 1);
        assert.equal(job.finished, 1);
      });
    }
  }
}

test('a best host that fails in the middle of the message does not keep it from the next one', async () => {
  const dropped = Promise.withResolvers<void>();
  async function* slow() {
    for (let i = 0; i < 100; i++) {
      yield Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(64));
      // The host has not the whole message when it is gone.
      if (i === 50) await dropped.promise;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await using site = await hosts({}, {});
  // The message takes a while on a busy machine, and the host is not silent meanwhile.
  site.settings.replace(testSettings({ delivery: { connections: 1 } }).current);
  const [best] = site.sinks;
  const done = site.run(testJob({ message: slow, size: 100 * 64_000 }));
  await waitFor(() => best?.sessions[0]?.lines.includes('DATA'), { what: 'the message to be under way' });
  best?.dropAll();
  dropped.resolve();
  assert.deepEqual(brief(await done), ['delivered 250 2.0.0']);
  assert.deepEqual(site.taken(), [0, 1]);
});

/** What the best host may say after the final dot, or for good: nobody else gets the message. */
const LAST_WORDS: [string, Record<string, SinkAction>, string][] = [
  ['closes after the final dot', { MESSAGE: 'close' }, 'deferred 451 4.4.2'],
  ['is silent after the final dot', { MESSAGE: 'hang' }, 'deferred 451 4.4.2'],
  ['says 421 after the final dot', { MESSAGE: HOST_DOWN }, 'deferred 421 4.3.2'],
  ['says 451 after the final dot', { MESSAGE: '451 4.3.0 later' }, 'deferred 451 4.3.0'],
  ['refuses the sender', { MAIL: '550 5.7.1 no' }, 'failed 550 5.7.1'],
  ['refuses the recipient', { RCPT: '550 5.1.1 no' }, 'failed 550 5.1.1'],
  ['refuses DATA', { DATA: '554 5.7.1 no' }, 'failed 554 5.7.1'],
];
for (const [name, script, expected] of LAST_WORDS) {
  test(`a best host that ${name} has the last word`, async () => {
    await using site = await hosts(script, {});
    assert.deepEqual(brief(await site.run()), [expected]);
    assert.deepEqual(site.sessions(), [1, 0]);
  });
}

test('all hosts are tried, and the words of the last one that heard of the message stay', async () => {
  await using site = await hosts(
    { MAIL: 'close' },
    { DATA: '451 4.3.0 two' },
    { MAIL: HOST_DOWN },
    { CONNECT: 'close' },
  );
  const [result] = await site.run();
  assert.deepEqual(brief(result === undefined ? [] : [result]), ['deferred 421 4.3.2']);
  assert.equal(result?.outcome.host, `relay.test[127.0.0.3]:${site.sinks[0]?.port}`);
  assert.deepEqual(site.sessions(), [1, 1, 1, 1]);
  assert.deepEqual(others(result), ['127.0.0.1: 451 4.4.2', '127.0.0.2: 451 4.3.0', '127.0.0.4: 451 4.4.2']);
});

/** The other hosts of an attempt, and what they said. */
function others(result: RecipientResult | undefined): string[] {
  return (result?.others ?? []).map(
    ({ host, reply }) => `${/\[(.*)\]/.exec(host ?? '')?.[1]}: ${reply.code} ${reply.enhanced}`,
  );
}

test('each recipient has the hosts that were tried for it', async () => {
  await using site = await hosts(
    { CONNECT: HOST_DOWN },
    { 'RCPT b@x.test': '550 5.1.1 nobody', DATA: '451 4.3.0 no' },
    { 'RCPT c@x.test': '450 4.2.1 busy' },
  );
  const job = () => testJob({ recipients: ['b@x.test', 'c@x.test', 'd@x.test'] });
  const results = await site.run(job());
  assert.deepEqual(brief(results), ['failed 550 5.1.1', 'deferred 450 4.2.1', 'delivered 250 2.0.0']);
  const [b, c, d] = results.toSorted((one, other) => one.index - other.index);
  assert.deepEqual(others(b), ['127.0.0.1: 421 4.3.2']);
  for (const result of [c, d]) assert.deepEqual(others(result), ['127.0.0.1: 421 4.3.2', '127.0.0.2: 451 4.3.0']);
});

test('a message that follows on the same connection has tried no other host', async () => {
  await using site = await hosts({ CONNECT: HOST_DOWN }, {});
  assert.deepEqual(others((await site.run())[0]), ['127.0.0.1: 421 4.3.2']);
  const [next] = await site.run();
  assert.equal(next?.others, undefined);
  assert.deepEqual(site.sessions(), [1, 1]);
});

test('where no host can be used, each is known', async () => {
  await using site = await hosts(
    { CONNECT: HOST_DOWN },
    { CONNECT: 'close' },
    { EHLO: '550 5.7.1 go away', HELO: '550 5.7.1 no' },
  );
  const [result] = await site.run();
  assert.equal(result?.state, 'deferred');
  assert.match(result?.outcome.host ?? '', /127\.0\.0\.3/);
  assert.deepEqual(others(result), ['127.0.0.1: 421 4.3.2', '127.0.0.2: 451 4.4.2']);
});

test('no more than five hosts are spoken to in one attempt, however many there are', async () => {
  const later = {
    extensions: [],
    script: ({ verb }: { verb: string }) => (verb === 'MAIL' ? '451 4.7.1 slowly' : undefined),
  };
  await using site = await hosts({ CONNECT: 'close' }, later, later, later, later, later, later, {});
  assert.deepEqual(brief(await site.run()), ['deferred 451 4.7.1']);
  assert.deepEqual(site.sessions(), [1, 1, 1, 1, 1, 1, 0, 0]);
});

test('a stop does not wait for the next host', async () => {
  await using site = await hosts({ MAIL: 'close' }, { CONNECT: 'hang' }, {});
  const timeout = { connect: '60s', command: '60s', data: '60s' };
  site.settings.replace(testSettings({ delivery: { timeout } }).current);
  const done = site.run();
  await waitFor(() => site.sinks[1]?.sessions.length === 1, { what: 'the second host to be asked' });
  await site.stop();
  assert.deepEqual(brief(await done), ['deferred 451 4.4.2']);
  assert.deepEqual(site.sessions(), [1, 1, 0]);
});

test('only those that the best host deferred go to the next one', async () => {
  await using site = await hosts({ 'RCPT b@x.test': '550 5.1.1 nobody', DATA: '451 4.3.0 no' }, {});
  const results = await site.run(testJob({ recipients: ['b@x.test', 'c@x.test', 'd@x.test'] }));
  assert.deepEqual(brief(results), ['failed 550 5.1.1', 'delivered 250 2.0.0', 'delivered 250 2.0.0']);
  const recipients = site.sinks[1]?.messages[0]?.recipients.map(({ address }) => address);
  assert.deepEqual(recipients, ['c@x.test', 'd@x.test']);
});

test('a recipient that is deferred beside accepted ones is not tried elsewhere', async () => {
  await using site = await hosts({ 'RCPT b@x.test': '450 4.2.1 busy' }, {});
  const results = await site.run(testJob({ recipients: ['b@x.test', 'c@x.test'] }));
  assert.deepEqual(brief(results), ['deferred 450 4.2.1', 'delivered 250 2.0.0']);
  assert.deepEqual(site.sessions(), [1, 0]);
});

test('a mailbox that two hosts defer is not tried at all of them', async () => {
  const later = { RCPT: '450 4.2.0 greylisted' };
  await using site = await hosts(later, later, later);
  assert.deepEqual(brief(await site.run()), ['deferred 450 4.2.0']);
  assert.deepEqual(site.sessions(), [1, 1, 0]);
});

test('a host that broke a transaction off comes last for the next messages', async () => {
  await using site = await hosts({ MAIL: HOST_DOWN }, {});
  for (let i = 0; i < 3; i++) assert.deepEqual(brief(await site.run()), ['delivered 250 2.0.0']);
  assert.equal(site.sessions()[0], 1);
  assert.deepEqual(site.taken(), [0, 3]);
});

test('a host that deferred one message is left with QUIT, and is the first for the next ones', async () => {
  let mails = 0;
  await using site = await hosts(
    // A sink that pipelines would take RCPT and DATA all the same.
    { extensions: [], script: ({ verb }) => (verb === 'MAIL' && ++mails === 1 ? '451 4.3.0 not this one' : undefined) },
    {},
  );
  for (let i = 0; i < 3; i++) assert.deepEqual(brief(await site.run()), ['delivered 250 2.0.0']);
  assert.deepEqual(site.taken(), [2, 1]);
  assert.deepEqual(site.sessions(), [2, 1]);
  const left = site.sinks[0]?.sessions[0];
  await waitFor(() => left?.closed, { what: 'the end of the first session' });
  assert.equal(left?.lines.at(-1), 'QUIT');
  const line = site.lines().find(({ msg }) => msg.includes('the next one is tried'));
  assert.match(String(line?.['reply']), /^451 4\.3\.0 not this one/);
});
