import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { startHaproxy } from '#test/kit/smtp/haproxy.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * One listener becomes four and then one again, under load, behind the HAProxy of the example. Each is a process of its
 * own; the other services are another. A client may hear 421 or 451 from a listener that goes, and nothing else.
 */
const ROUNDS = 3;
const LISTENERS = 4;

test(`${ROUNDS} times from one listener to four and back, under load`, {
  ...needs('nats-server', 'haproxy'),
  timeout: 15 * 60_000,
}, async (t) => {
  await using nats = await startNatsServer({ jetStream: true });
  await using sink = await Tally.start();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const bus = `bus: { servers: ["${nats.url}"] }`;
  const node = undo.use(await SealpostNode.create({ name: 'rest', nek, sink: sink.port, config: bus }));
  await node.start('credential-store', 'signer', 'policy', 'router');
  await node.createKey('example.com', 's1');

  const listeners: SealpostNode[] = [];
  for (const [i, port] of (await freePorts(LISTENERS)).entries()) {
    const own = `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`;
    const config = `${bus}\n${own}`;
    listeners.push(undo.use(await SealpostNode.create({ name: `listener-${i + 1}`, nek, port, config })));
  }
  const haproxy = undo.use(
    await startHaproxy(
      'mx',
      listeners.map(({ port }) => port),
    ),
  );
  const accepts = (listener: SealpostNode): number =>
    listener.programs.get('listener')?.output.match(/"message accepted"/g)?.length ?? 0;
  /** Start one, and wait until HAProxy has given it mail. */
  const add = async (listener: SealpostNode): Promise<void> => {
    await listener.start('listener');
    await waitFor(() => accepts(listener) > 5, { what: 'mail at the new listener', timeout: 60_000 });
  };

  await listeners[0]?.start('listener');
  const sizes = [500, 4000, 40_000];
  const load = new Load('scale', { port: haproxy.port, sessions: 12, perSession: 10, sizes, rate: 100 });
  undo.defer(() => load.stop());
  load.start();
  await waitFor(() => load.accepted.size > 50, { what: 'mail through one listener', timeout: 30_000 });
  for (let round = 1; round <= ROUNDS; round++) {
    const [, ...others] = listeners;
    for (const listener of others) await add(listener);
    for (const listener of others) assert.equal(await listener.programs.get('listener')?.stop(20_000), 0);
    const before = load.accepted.size;
    await waitFor(() => load.accepted.size > before + 50, { what: 'mail through the one left', timeout: 30_000 });
  }
  await load.stop();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), { what: 'all mail', timeout: 60_000 });
  t.diagnostic(
    `accepted ${load.accepted.size}, refused ${JSON.stringify(Object.fromEntries(load.refused))}, ` +
      `broken connections ${load.broken}, without a reply ${load.unknown.size}, duplicates ${sink.duplicates}`,
  );
  const refusals = [...load.refused.keys()].filter((reply) => !/^4[25]1 /.test(reply));
  assert.deepEqual(refusals, [], 'nothing but 421 and 451');
  assert.equal(load.unknown.size, 0, 'every message got its reply');
  assert.equal(load.broken, 0, 'no connection ended without a word');
  assert.equal(sink.duplicates, 0);
  assert.deepEqual([...sink.signatures.keys()], [1]);
});
