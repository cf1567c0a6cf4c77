import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from 'nats';
import { decodeRequest } from '#cluster/bus/frame.ts';
import { operationSubject } from '#cluster/bus/subjects.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Commands about mail, given where no router is: as in the container of the operator. */

test('queue and capture commands ask the routers of all nodes, from a place that has none', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async (t) => {
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const nodes: SealpostNode[] = [];
  for (const name of ['edge-1', 'edge-2']) {
    const config = 'domains: []\nroutes: [{ to: hold.test, via: "smtp://127.0.0.1:1" }, { to: "*", via: capture }]';
    nodes.push(undo.use(await SealpostNode.create({ name, nek, bus: guarded, config })));
  }
  await Promise.all(nodes.map((node) => node.start()));
  const desk = undo.use(await SealpostNode.create({ name: 'desk', bus: guarded }));
  const { user, password } = guarded.login('operator');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const run = (...args: string[]): Promise<CommandResult> =>
    sealpost([...args, '--config', desk.configFile], { cwd: desk.folder, env });
  type Mail = { entries: { queueId: string; node: string }[]; messages: { queueId: string; node: string }[] };
  const json = async (...args: string[]): Promise<Mail> => JSON.parse((await run(...args, '--json')).stdout) as Mail;

  const send = async (port: number, to: string): Promise<void> => {
    const load = new Load('mail', { port, sessions: 1, to, sizes: [300], perSession: 1 });
    load.start();
    await waitFor(() => load.accepted.size >= 1, { what: 'a message' });
    await load.stop();
  };
  const both = (mail: readonly { node: string }[]) => [...new Set(mail.map(({ node }) => node))].sort();
  // A listener that has just started may not have heard of the router of its own node yet.
  const onBoth = async (): Promise<boolean> => {
    await Promise.all(nodes.flatMap(({ port }) => ['a@hold.test', 'b@else.test'].map((to) => send(port, to))));
    const [captured, queue] = await Promise.all([json('capture', 'list'), json('queue', 'list')]);
    return [captured.messages, queue.entries].every((mail) => both(mail).length === 2);
  };
  await waitFor(onBoth, { what: 'mail on both nodes', timeout: 90_000 });
  const { messages } = await json('capture', 'list');
  assert.deepEqual(both(messages), ['edge-1', 'edge-2']);
  const { queues } = JSON.parse((await run('status', '--json')).stdout) as {
    queues: { node: string; deferred: number }[];
  };
  assert.deepEqual(both(queues), ['edge-1', 'edge-2']);
  assert.ok(queues.every(({ deferred }) => deferred > 0));
  const text = (await run('status')).stdout;
  for (const { node } of queues) assert.match(text, new RegExp(`^queue of ${node} +\\d+ active, \\d+ deferred`, 'm'));
  assert.doesNotMatch((await run('status', '--node', 'edge-2')).stdout, /edge-1/);
  const showsIt = async ({ queueId, node }: (typeof messages)[number]): Promise<void> => {
    const shown = await run('capture', 'show', queueId);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, new RegExp(`node +${node}\n[^]*no DKIM signature`));
  };
  await Promise.all(messages.slice(0, 4).map(showsIt));
  assert.equal((await run('capture', 'show', 'NONE')).code, 1);

  const { entries } = await json('queue', 'list');
  assert.deepEqual(both(entries), ['edge-1', 'edge-2']);
  assert.deepEqual(
    entries.map(({ queueId }) => queueId),
    entries.map(({ queueId }) => queueId).toSorted(),
  );
  const only = await json('queue', 'list', '--node', 'edge-2');
  assert.deepEqual(both(only.entries), ['edge-2']);
  assert.match((await run('queue', 'list')).stdout, /^NODE +ID +STATE/);
  const isThere = async ({ queueId, node }: (typeof entries)[number]): Promise<void> => {
    const [shown, message] = await Promise.all([run('queue', 'show', queueId), run('queue', 'cat', queueId)]);
    assert.match(shown.stdout, new RegExp(`node +${node}`));
    assert.match(message.stdout, /Subject: load/);
  };
  await Promise.all(entries.slice(0, 4).map(isThere));
  assert.match((await run('queue', 'show', 'NONE')).stderr, /edge-1: .*no message NONE.*; edge-2: /);
  assert.match((await run('queue', 'hold', '--all', '--yes')).stdout, new RegExp(`^${entries.length} messages held`));
  const refused = await run('queue', 'remove', '--all');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, new RegExp(`remove ${entries.length} messages \\(edge-1: \\d+, edge-2: \\d+\\)`));
  const first = entries.find(({ node }) => node === 'edge-1');
  assert.match((await run('queue', 'remove', first?.queueId ?? '')).stdout, /^1 message removed/);

  await t.test('a message is read once to be printed', async () => {
    const { user: name, password: pass } = guarded.admin;
    const server = await connect({ servers: guarded.server.url, user: name, pass: pass.reveal() });
    const offsets: unknown[] = [];
    const address = { service: 'router', version: 1, operation: 'message-read' };
    const counter = server.subscribe(`${operationSubject(address)}.>`, {
      callback: (_error, { data }) => offsets.push((decodeRequest(data).fields as { offset: number }).offset),
    });
    await server.flush();
    const next = entries.find((entry) => entry !== first);
    const { stdout } = await run('queue', 'cat', next?.queueId ?? '', '--node', next?.node ?? '');
    await server.flush();
    counter.unsubscribe();
    await server.close();
    assert.deepEqual([offsets[0], offsets.at(-1)], [0, stdout.length]);
    assert.equal(new Set(offsets).size, offsets.length, `read at ${offsets.join(', ')}`);
  });

  await t.test('a router that hangs costs a command its mail, and not its answer', async () => {
    const timed = async (): Promise<[CommandResult, number]> => {
      const since = performance.now();
      const result = await run('queue', 'list');
      return [result, Math.round(performance.now() - since)];
    };
    const [, usual] = await timed();
    await nodes[0]?.programs.get('all')?.pause();
    const isGone = async () => /edge-1 .*is not listed: nothing/.test((await run('queue', 'list')).stderr);
    await waitFor(isGone, { what: 'edge-1 to count as gone', timeout: 60_000 });
    // Each of them has heard nobody when it asks, and NATS knows two that would answer.
    const times: number[] = [];
    for (let n = 0; n < 10; n++) {
      const [partly, took] = await timed();
      assert.equal(partly.code, 3, partly.stderr);
      assert.match(partly.stderr, /^sealpost: the queue of edge-1 is not listed: nothing is heard of its router/m);
      assert.match(partly.stdout, /edge-2 /);
      times.push(took);
    }
    t.diagnostic(`answered in ${times.join(', ')} ms, before in ${usual} ms`);
    // What a command waits for is bounded; how fast it starts depends on what else runs.
    assert.ok((times.toSorted((a, b) => a - b)[5] ?? 0) < 2 * usual + 4500);
    // What must not be asked twice goes to one that works.
    const created = await Promise.all([1, 2, 3, 4, 5].map((n) => run('keys', 'create', `key${n}.test`, 's1')));
    for (const { code, stderr } of created) assert.equal(code, 0, stderr);
    assert.equal((await run('keys', 'list')).code, 0);
    const beside = entries.find(({ node, queueId }) => node === 'edge-2' && queueId !== first?.queueId)?.queueId ?? '';
    const shown = await run('queue', 'show', beside);
    assert.equal(shown.code, 0, shown.stderr);
    const missed = await run('queue', 'show', 'NONE');
    assert.equal(missed.code, 3, missed.stderr);
    assert.match(missed.stderr, /edge-2: .*no message NONE.*; edge-1: nothing is heard of its router/);

    const kept = await run('capture', 'list', '--json');
    const list = JSON.parse(kept.stdout) as Mail & { silent: string[] };
    assert.equal(kept.code, 3, kept.stderr);
    assert.deepEqual([both(list.messages), list.silent], [['edge-2'], ['edge-1']]);
    assert.match(kept.stderr, /the mail that was captured on edge-1 is not listed: nothing is heard/);
    const capture = await run('capture', 'show');
    assert.equal(capture.code, 3, capture.stderr);
    assert.match(capture.stdout, /node +edge-2/);
    for (const operation of ['release', 'hold', 'retry']) {
      const changed = await run('queue', operation, '--all', '--yes');
      assert.equal(changed.code, 3, changed.stderr);
      assert.match(changed.stderr, new RegExp(`${operation} may not be done on edge-1`));
      if (operation !== 'retry') assert.match(changed.stdout, /^[1-9]\d* messages? /);
    }
    nodes[0]?.programs.get('all')?.resume();
  });
});
