import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** `checks.connections-per-client` of two nodes over a nats-server with users; the second has a process for each service. */
test('a client has so many connections to all nodes together, and those of a dead node do not count for long', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  const config = 'relay: {}\nchecks: { connections-per-client: 3 }';
  const options = { nek: generateNek('test'), bus: guarded, config };
  await using first = await SealpostNode.create({ name: 'edge-1', ...options });
  await using second = await SealpostNode.create({ name: 'edge-2', ...options });
  const program = await first.start();
  for (const service of ['policy', 'router', 'listener']) await second.start(service);
  await using open = new AsyncDisposableStack();
  const connect = async (node: SealpostNode) => {
    const client = open.use(await Dialog.connect(node.port));
    return { client, code: (await client.read()).code };
  };
  /** Whether another connection would get in; it ends at once. */
  const getsIn = async (node: SealpostNode) => {
    await using client = await Dialog.connect(node.port);
    return (await client.read()).code === 220;
  };
  for (let n = 0; n < 2; n++) assert.equal((await connect(first)).code, 220);
  const third = await connect(second);
  assert.equal(third.code, 220);
  for (const node of [first, second]) {
    await waitFor(async () => !(await getsIn(node)), { what: `${node.name} to hear of the other connections` });
  }
  await third.client.command('QUIT');
  await waitFor(async () => (await connect(first)).code === 220, { what: 'room at the first node' });
  await waitFor(async () => !(await getsIn(second)), { what: 'the second node to hear of it' });
  program.signal('SIGKILL');
  await waitFor(() => getsIn(second), { timeout: 15_000, what: 'the connections of the dead node to be forgotten' });
  for (const node of [first, second]) {
    for (const [name, { output }] of node.programs) assert.doesNotMatch(output, /NATS permits/, name);
  }
  assert.doesNotMatch(guarded.server.output, /Violation/);
});
