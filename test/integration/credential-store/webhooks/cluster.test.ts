import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import type { EventData } from '#shared/webhooks/events.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type Received, Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';

/** Three real nodes, each with the same webhook: what happens to the keys of the cluster is told by one of them. */

const about = ({ event }: Received): string => {
  const { selector, about: what } = event.data as Partial<EventData<'key.created'> & EventData<'alarm.raised'>>;
  return `${event.type} ${selector ?? what}`;
};

test(
  'keys are told of by one node, by another one when that dies, and so is its silence',
  needs('nats-server'),
  async () => {
    await using nats = await startNatsServer({ jetStream: true });
    await using receiver = await Receiver.start();
    await using undo = new AsyncDisposableStack();
    const nek = generateNek('edge');
    const nodes: SealpostNode[] = [];
    for (const name of ['edge-1', 'edge-2', 'edge-3']) {
      const config =
        `bus: { servers: ["${nats.url}"] }\n` +
        `webhooks: [{ name: ops, url: "${receiver.url}", secret: ${SECRET}, events: [key.*, alarm.*] }]\n`;
      const node = undo.use(await SealpostNode.create({ name, nek, config }));
      // The first one is the eldest.
      await node.start();
      nodes.push(node);
    }
    const [first, second, third] = nodes;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    await third.createKey('example.com', 's1', 'ed25519');
    const told = (): string[] => receiver.received.map(about);
    await waitFor(() => told().includes('key.activated s1'), { what: 'the key to be told of' });
    await waitFor(() => told().filter((text) => text.endsWith(' s1')).length >= 5, { what: 'each of its states' });
    const ids = receiver.received.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, `told twice: ${told().join(', ')}`);

    const program = first.programs.get('all');
    program?.signal('SIGKILL');
    await program?.ended();
    await third.createKey('example.com', 's2');
    await waitFor(() => told().some((text) => text.endsWith(' s2')), { what: 'the second key', timeout: 60_000 });
    await waitFor(() => told().includes('alarm.raised node edge-1'), { what: 'the alarm', timeout: 90_000 });
    const silent = receiver.received.filter((one) => about(one) === 'alarm.raised node edge-1');
    assert.deepEqual(
      silent.map(({ event }) => (event.data as EventData<'alarm.raised'>).alarm),
      ['node-silent'],
    );

    await first.start();
    await waitFor(() => told().includes('alarm.cleared node edge-1'), {
      what: 'the end of the alarm',
      timeout: 60_000,
    });
    // Where a node dies soon after a change, the next one may tell of it again: as the same event.
    const known = Map.groupBy(receiver.received, about);
    for (const [what, all] of known) assert.equal(new Set(all.map(({ id }) => id)).size, 1, what);
    // It has come back beside others that are older, and leaves to them what happened meanwhile.
    assert.equal(known.get('key.activated s2')?.length, 1);
  },
);
