import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A listener without a router of its own, and routers of other nodes: one full, one that hangs, one with a long queue.
 */

/** Send so many messages, a few more perhaps; resolves to how many were accepted, and none refused. */
async function send(run: string, port: number, messages: number): Promise<number> {
  const load = new Load(run, { port, sessions: 2, sizes: [500, 50_000] });
  load.start();
  await waitFor(() => load.accepted.size >= messages, { timeout: 30_000, what: `${messages} messages to be taken` });
  await load.stop();
  assert.deepEqual([...load.refused, ...load.unknown], []);
  return load.accepted.size;
}

async function queuedAt(node: SealpostNode): Promise<number> {
  // It fails because not every service runs, and prints what it knows.
  const text = await node
    .sealpost('status', '--node', node.name, '--json')
    .catch((error: { stdout: string }) => error.stdout);
  const { queues } = JSON.parse(text) as { queues: { node: string; active: number; deferred: number }[] };
  return queues.reduce((sum, { active, deferred }) => sum + active + deferred, 0);
}

test('mail goes past a full and a hanging router to one that takes it, even if that one is busy', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using nats = await startNatsServer();
  await using undo = new AsyncDisposableStack();
  const make = async (name: string, more = '') => {
    const config = `bus: { servers: ["${nats.url}"] }\nroutes: [{ to: "*", via: "smtp://127.0.0.1:1" }]\n${more}`;
    return undo.use(await SealpostNode.create({ name, config }));
  };
  const door = await make('door');
  const full = await make('full', 'queue: { reserve: 900000GB }');
  const hanging = await make('hanging');
  const loaded = await make('loaded');
  await Promise.all([door.start('listener', 'policy'), loaded.start('router')]);
  const work = await send('work', door.port, 200);
  assert.equal(await queuedAt(loaded), work);

  const [program] = await Promise.all([hanging.start('router'), full.start('router')]);
  const few = await send('few', door.port, 50);
  assert.deepEqual([await queuedAt(hanging), await queuedAt(loaded)], [few, work]);

  await program.pause();
  const rest = await send('rest', door.port, 100);
  assert.equal(await queuedAt(loaded), work + rest);
  program.resume();
});
