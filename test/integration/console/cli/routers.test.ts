import assert from 'node:assert/strict';
import { test } from 'node:test';
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
}, async () => {
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const nodes: SealpostNode[] = [];
  for (const name of ['edge-1', 'edge-2']) {
    const config = 'domains: []\nroutes: [{ to: hold.test, via: "smtp://127.0.0.1:1" }, { to: "*", via: capture }]';
    const node = undo.use(await SealpostNode.create({ name, nek, bus: guarded, config }));
    await node.start();
    nodes.push(node);
  }
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
    for (const { port } of nodes) for (const to of ['a@hold.test', 'b@else.test']) await send(port, to);
    const found = [(await json('capture', 'list')).messages, (await json('queue', 'list')).entries];
    return found.every((mail) => both(mail).length === 2);
  };
  await waitFor(onBoth, { what: 'mail on both nodes', timeout: 90_000 });
  const { messages } = await json('capture', 'list');
  assert.deepEqual(both(messages), ['edge-1', 'edge-2']);
  for (const { queueId, node } of messages) {
    const shown = await run('capture', 'show', queueId);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, new RegExp(`node +${node}\n[^]*no DKIM signature`));
  }
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
  for (const { queueId, node } of entries.slice(0, 4)) {
    assert.match((await run('queue', 'show', queueId)).stdout, new RegExp(`node +${node}`));
    assert.match((await run('queue', 'cat', queueId)).stdout, /Subject: load/);
  }
  assert.match((await run('queue', 'show', 'NONE')).stderr, /edge-1: .*no message NONE.*; edge-2: /);
  assert.match((await run('queue', 'hold', '--all')).stdout, new RegExp(`^${entries.length} messages held`));
  const refused = await run('queue', 'remove', '--all');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /--node: edge-1, edge-2 have queues/);
  const [first] = entries;
  assert.match((await run('queue', 'remove', first?.queueId ?? '')).stdout, /^1 message removed/);
});
