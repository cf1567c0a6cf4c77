import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { longestPause } from '#test/kit/smtp/longest-pause.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * What hangs (SIGSTOP) instead of dying keeps its connections, and nobody is told. Each of three NATS servers hangs in
 * turn, then a policy, a signer and a router where there are two of each: no listener is longer than `MOST_MS` without a
 * 250, and nothing that was accepted is lost. HANG_SECONDS chooses how long each of them hangs.
 */
const SECONDS = Number(process.env['HANG_SECONDS'] ?? 12);
const MOST_MS = 10_000;

test(`a NATS server, a policy, a signer and a router that hang for ${SECONDS} s do not stop mail`, {
  ...needs('nats-server'),
  timeout: 20 * 60_000,
}, async (t) => {
  await using undo = new AsyncDisposableStack();
  const { servers } = undo.use(await startNatsCluster(3));
  const sink = undo.use(await Tally.start());
  const nek = generateNek('test');
  const config = `bus: { servers: ${JSON.stringify(servers.map(({ url }) => url))} }\nqueue: { copies: 2 }`;
  const start = async (service: string, count: number): Promise<SealpostNode[]> => {
    const nodes: SealpostNode[] = [];
    for (let n = 1; n <= count; n++) {
      const node = undo.use(await SealpostNode.create({ name: `${service}-${n}`, nek, sink: sink.port, config }));
      await node.start(service);
      nodes.push(node);
    }
    return nodes;
  };
  const [store] = await start('credential-store', 1);
  const signers = await start('signer', 2);
  const policies = await start('policy', 2);
  const routers = await start('router', 3);
  const listeners = await start('listener', 2);
  await store?.createKey('example.com', 's1', 'ed25519');
  const loads = listeners.map(
    ({ port }, n) => new Load(`listener-${n + 1}`, { port, sessions: 6, sizes: [500, 2000, 40_000], rate: 20 }),
  );
  undo.defer(() => Promise.all(loads.map((load) => load.stop())).then(() => undefined));
  for (const load of loads) load.start();
  await waitFor(() => loads.every(({ accepted }) => accepted.size > 50), { what: 'mail', timeout: 60_000 });

  const program = (node: SealpostNode | undefined, service: string) => {
    const found = node?.programs.get(service);
    if (found === undefined) throw new Error(`no ${service} runs`);
    return found;
  };
  const hangs = [
    ...servers.map((server, n) => ({ name: `NATS server ${n + 1}`, it: server })),
    { name: 'a policy', it: program(policies[0], 'policy') },
    { name: 'a signer', it: program(signers[0], 'signer') },
    { name: 'a router', it: program(routers[0], 'router') },
  ];
  for (const { name, it } of hangs) {
    await t.test(`${name} hangs: mail goes on within ${MOST_MS / 1000} s`, async (t) => {
      const watches = loads.map((load) => longestPause(load, delay(SECONDS * 1000)));
      await it.pause();
      const pauses = await Promise.all(watches);
      it.resume();
      t.diagnostic(`longest time without a 250: ${pauses.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(', ')}`);
      report(t, loads);
      for (const pause of pauses) assert.ok(pause <= MOST_MS, `${Math.round(pause)} ms without a 250`);
      await mailFrom(loads);
    });
  }
  await Promise.all(loads.map((load) => load.stop()));
  const missing = () => loads.flatMap(({ accepted }) => [...accepted].filter((id) => !sink.arrivals.has(id)));
  await waitFor(() => missing().length === 0, { what: 'every accepted message to arrive', timeout: 120_000 });
  t.diagnostic(`accepted ${loads.map(({ accepted }) => accepted.size)}, duplicates ${sink.duplicates}`);
});

/** Wait until every session's mail is taken again, so that the next part starts from a cluster that is well. */
async function mailFrom(loads: readonly Load[]): Promise<void> {
  const before = loads.map(({ accepted }) => accepted.size);
  await waitFor(() => loads.every(({ accepted }, n) => accepted.size > (before[n] ?? 0) + 100), {
    what: 'mail to flow again',
    timeout: 90_000,
  });
}

function report(t: TestContext, loads: readonly Load[]): void {
  const refused = loads.map((load) => JSON.stringify(Object.fromEntries(load.refused)));
  t.diagnostic(`accepted ${loads.map(({ accepted }) => accepted.size)}, refused so far ${refused.join(' ')}`);
}
