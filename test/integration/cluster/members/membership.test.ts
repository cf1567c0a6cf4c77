import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { Membership } from '#cluster/members/membership.ts';
import { silentLogger } from '#shared/log.ts';
import { type GuardedServer, startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Membership over a real nats-server, each process with the user of its service. */

type Process = AsyncDisposable & {
  bus: NatsBus;
  membership: Membership;
  sees: (process: NatsBus) => Member | undefined;
};

async function enter(
  guarded: GuardedServer,
  node: string,
  service: 'router' | 'listener' | 'policy' | 'signer' | 'credential-store',
): Promise<Process> {
  const login = guarded.login(service);
  const bus = await NatsBus.connect({ servers: [guarded.server.url], node, log: silentLogger, ...login });
  const settings = new Settings(ConfigSchema.parse({ node: { name: node } }));
  const contracts = { [service]: 1 };
  const options = { bus, settings, log: silentLogger, services: [service], version: '1.0.0', contracts };
  const membership = new Membership({ ...options, drain: async () => undefined });
  membership.start();
  return {
    bus,
    membership,
    sees: ({ process }) => membership.members().find((m) => m.process === process),
    [Symbol.asyncDispose]: async () => {
      membership.stop();
      await bus.drain();
    },
  };
}

test('processes of every service know each other and their states, also two of one node', {
  ...needs('nats-server'),
  timeout: 60_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const kinds = ['credential-store', 'signer', 'policy', 'router', 'listener', 'listener'] as const;
  const all: Process[] = [];
  for (const kind of kinds) all.push(undo.use(await enter(guarded, `node-of-${kind}`, kind)));
  const everySees = (process: NatsBus, state: string) => () =>
    all.every((p) => p.bus === process || p.sees(process)?.state === state);
  for (const { bus } of all) await waitFor(everySees(bus, 'joining'), { what: 'everybody to know everybody' });

  const [first, ...rest] = all.toReversed();
  assert.ok(first);
  first.membership.state = 'up';
  await waitFor(everySees(first.bus, 'up'), { what: 'the news that it is up' });
  first.membership.state = 'draining';
  await waitFor(everySees(first.bus, 'draining'), { what: 'the news that it drains' });

  // Each process can be asked by its id, also one of two that share a node's name.
  const { user, password } = guarded.login('operator');
  const options = { servers: [guarded.server.url], node: 'desk', log: silentLogger, user, password };
  const desk = undo.adopt(await NatsBus.connect(options), (bus) => bus.drain());
  for (const { bus } of all) {
    const { process, time } = await client(desk, memberContract)['member-ping']({}, { node: bus.process });
    assert.equal(process, bus.process);
    assert.ok(Math.abs(time - Date.now()) < 5000);
    const { members, away } = await client(desk, memberContract)['member-list']({}, { node: bus.process });
    assert.equal(away, undefined);
    assert.deepEqual(members.map((m) => m.process).toSorted(), all.map((p) => p.bus.process).toSorted());
  }

  await first[Symbol.asyncDispose]();
  await waitFor(() => rest.every((p) => p.sees(first.bus)?.stopped), { what: 'its last word' });
  assert.equal(rest[0]?.sees(first.bus)?.state, 'gone');
});

test('a process that dies is gone after 5 s; without NATS all others are, and the silence is known to be its own', {
  ...needs('nats-server'),
  timeout: 60_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using a = await enter(guarded, 'edge-1', 'router');
  await using b = await enter(guarded, 'edge-2', 'router');
  await using c = await enter(guarded, 'edge-3', 'router');
  await waitFor(() => a.sees(b.bus) && a.sees(c.bus) && c.sees(a.bus), { what: 'everybody to know everybody' });
  const since = performance.now();
  await c.bus.drain();
  await waitFor(() => a.sees(c.bus)?.state === 'gone', { timeout: 10_000, what: 'edge-3 to be gone' });
  assert.ok(performance.now() - since > 4000);
  assert.equal(a.sees(c.bus)?.stopped, false);
  assert.equal(a.sees(b.bus)?.state, 'joining');

  await guarded.server.stop();
  await waitFor(() => a.sees(b.bus)?.state === 'gone', { timeout: 10_000, what: 'edge-2 to be out of reach' });
  assert.ok((a.membership.away ?? 0) > 3000);
  assert.ok((a.sees(b.bus)?.heard ?? 0) > 5000);
  await guarded.server.restart();
  await waitFor(() => a.sees(b.bus)?.state === 'joining', { timeout: 15_000, what: 'edge-2 to be heard again' });
  assert.equal(a.membership.away, undefined);
  assert.equal(a.sees(c.bus)?.state, 'gone');
});
