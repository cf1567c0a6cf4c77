import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Mail that operators suspend and redirect, on real nodes, by the command line. */

async function send(node: SealpostNode, to: string, from = 'a@client.test'): Promise<void> {
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say(`MAIL FROM:<${from}>`, 250);
  await client.say(`RCPT TO:<${to}>`, 250);
  await client.say('DATA', 354);
  await client.say('Subject: x\r\n\r\nx\r\n.', 250);
}

const entriesOf = async (node: SealpostNode) => JSON.parse(await node.sealpost('queue', 'list', '--json')).entries;

test('suspended mail waits without an attempt, says so, and goes when it is resumed', async () => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  let program = await node.start();
  const suspend = (...args: string[]) => node.sealpost('queue', 'suspend', ...args);
  assert.match(await suspend('--domain', 'd.test', '--reason', 'its disk is full'), /mail to d\.test suspended until/);
  await suspend('--sender', 'news.test', '--for', '2h');
  await send(node, 'b@sub.d.test');
  await send(node, 'b@e.test', 'daily@news.test');
  await send(node, 'b@e.test');
  await waitFor(() => sink.messages.length === 1, { what: 'the mail that is not suspended' });

  const check = async (): Promise<void> => {
    const entries = await entriesOf(node);
    const found = entries.map((one: { state: string; recipients: { status: object; suspended: object }[] }) => {
      const { status, suspended } = one.recipients[0] ?? assert.fail();
      return { state: one.state, status, suspended };
    });
    assert.equal(found.length, 2);
    for (const { state, status } of found) assert.deepEqual([state, status], ['deferred', { state: 'waiting' }]);
    const shown = await node.sealpost('queue', 'show', entries[0].queueId);
    assert.match(shown, /waiting for an operator: suspended by \S+ on \S+ until .*: its disk is full/);
    assert.match(await node.sealpost('queue', 'list'), /an operator: suspended by .*its disk is full/);
    assert.match(await node.sealpost('status'), /suspended +domain d\.test, by .*its disk is full/);
    assert.match(await node.sealpost('queue', 'directives'), /suspend +domain d\.test/);
  };
  await check();
  await program.stop();
  program = await node.start();
  await waitFor(async () => (await entriesOf(node)).every(({ state }: { state: string }) => state === 'deferred'), {
    what: 'the mail to wait after the restart',
  });
  await check();
  // An operator who asks for an attempt gets none.
  await node.sealpost('queue', 'retry', '--all', '--yes');
  await waitFor(async () => (await entriesOf(node)).every(({ state }: { state: string }) => state === 'deferred'), {
    what: 'the mail to wait after the retry',
  });
  assert.equal(
    sink.sessions.reduce((sum, { messages }) => sum + messages.length, 0),
    1,
  );

  assert.match(await node.sealpost('queue', 'resume', '--domain', 'd.test'), /mail to d\.test is resumed/);
  await waitFor(() => sink.messages.length === 2, { what: 'the mail to d.test' });
  assert.equal(sink.messages[1]?.recipients[0]?.address, 'b@sub.d.test');
  await suspend('--sender', 'news.test', '--for', '1s');
  await waitFor(() => sink.messages.length === 3, { what: 'the mail of news.test after the time' });
  await assert.rejects(node.sealpost('queue', 'resume', '--domain', 'd.test'), /is not suspended/);
  await assert.rejects(suspend('--domain', 'd.test', '--sender', 'x.test'), /say which mail/);
});

test('mail that waits for a connection is kept back too', async () => {
  let open: (() => void) | undefined;
  await using sink = await SmtpSink.start({
    script: ({ verb }) => (verb === 'CONNECT' && open === undefined ? 'hang' : undefined),
  });
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: 'delivery: { timeout: { command: 3s } }\nqueue: { retry: { first: 1s } }',
  });
  await node.start();
  await send(node, 'b@d.test');
  await waitFor(() => sink.sessions.length === 1, { what: 'a connection' });
  await node.sealpost('queue', 'suspend', '--destination', `smtp://127.0.0.1:${sink.port}`);
  open = () => undefined;
  await waitFor(async () => (await entriesOf(node))[0]?.state === 'deferred', {
    what: 'the mail to wait',
    timeout: 20_000,
  });
  await node.sealpost('queue', 'retry', '--all', '--yes');
  await send(node, 'c@d.test');
  await waitFor(async () => (await entriesOf(node)).length === 2, { what: 'both in the queue' });
  assert.equal(sink.messages.length, 0);
  await node.sealpost('queue', 'resume', '--destination', `smtp://127.0.0.1:${sink.port}`);
  await waitFor(() => sink.messages.length === 2, { what: 'both messages', timeout: 20_000 });
});

test('what one node is told, all nodes do, also one that starts later and one that restarts', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using a = await SmtpSink.start();
  await using b = await SmtpSink.start();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const config = `routes: [{ to: "*", via: "smtp://127.0.0.1:${a.port}" }]`;
  const create = async (name: string) => undo.use(await SealpostNode.create({ name, nek, bus: guarded, config }));
  const [one, two] = [await create('edge-1'), await create('edge-2')];
  await one.start();
  const program = await two.start();

  const via = `smtp://127.0.0.1:${b.port}`;
  const said = await one.sealpost('queue', 'redirect', 'r.test', '--via', via, '--for', '2h');
  assert.match(said, /mail to r\.test redirected to smtp:/);
  await two.sealpost('queue', 'suspend', '--domain', 's.test', '--reason', 'moves');
  const three = await create('edge-3');
  await three.start();
  await program.stop();
  await two.start();
  for (const node of ['edge-1', 'edge-2', 'edge-3']) {
    const directives = async () =>
      JSON.parse(await one.sealpost('queue', 'directives', '--node', node, '--json')).directives;
    await waitFor(async () => (await directives()).length === 2, {
      what: `the directives at ${node}`,
      timeout: 60_000,
    });
  }
  for (const node of [one, two, three]) {
    await waitFor(
      () =>
        send(node, 'b@x.r.test').then(
          () => true,
          () => false,
        ),
      { what: 'mail to be taken', timeout: 30_000 },
    );
    await send(node, 'b@s.test');
  }
  await waitFor(() => b.messages.length === 3, { what: 'the redirected mail of all nodes', timeout: 30_000 });
  assert.equal(a.messages.length, 0);
  const entries = await entriesOf(three);
  assert.deepEqual([...new Set(entries.map(({ node }: { node: string }) => node))].sort(), [
    'edge-1',
    'edge-2',
    'edge-3',
  ]);
  const doctor = JSON.parse(await one.report('doctor', '--json'));
  assert.deepEqual(
    doctor.findings
      .filter(({ check }: { check: string }) => check === 'suspended' || check === 'redirected')
      .map(({ about }: { about: string }) => about)
      .sort(),
    ['domain r.test', 'domain s.test'],
  );

  await three.sealpost('queue', 'resume', '--domain', 's.test');
  await two.sealpost('queue', 'redirect', 'r.test', '--end');
  await waitFor(() => a.messages.length === 3, { what: 'the resumed mail of all nodes', timeout: 30_000 });
  for (const node of [one, two, three]) await send(node, 'b@r.test');
  await waitFor(() => a.messages.length === 6, { what: 'the mail that is redirected no more', timeout: 30_000 });
  assert.equal(b.messages.length, 3);
});
