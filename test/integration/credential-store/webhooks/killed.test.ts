import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventData } from '#shared/webhooks/events.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';

/** A node that is killed while its keys go through their lives tells of each state of each key, at least once. */

const ROUNDS = 5;
const STATES = ['created', 'replicated', 'published', 'proven', 'activated'];

test('each state of each key is told of, although the node is killed again and again', async () => {
  await using receiver = await Receiver.start();
  const domains = Array.from({ length: ROUNDS }, (_, n) => `d${n}.test`);
  const config =
    `domains: [${domains.map((name) => `{ name: ${name}, keys: { proof: none } }`).join(', ')}]\n` +
    `webhooks: [{ name: ops, url: "${receiver.url}", secret: ${SECRET}, events: [key.*] }]\n`;
  await using node = await SealpostNode.create({ config });
  let program = await node.start();
  for (const domain of domains) {
    // From the first write to the last it takes some hundred milliseconds.
    const request = { domain, selector: 's1', algorithm: 'ed25519' as const, activate: true };
    await node.client('credential-store')['key-create'](request);
    await delay(Math.random() * 300);
    program.signal('SIGKILL');
    await program.ended();
    program = await node.start();
  }
  const expected = domains.flatMap((domain) => STATES.map((state) => `key.${state} ${domain}`)).toSorted();
  const told = (): Set<string> =>
    new Set(
      receiver.received.map(({ event: { type, data } }) => `${type} ${(data as EventData<'key.created'>).domain}`),
    );
  await waitFor(() => told().size >= expected.length, { what: 'all states of all keys', timeout: 60_000 });
  assert.deepEqual([...told()].toSorted(), expected);
});
