import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { lengthOf } from '#test/kit/length.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { seededRandom } from '#test/kit/random.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Two edge nodes on one nats-server, every service in a process of its own: a listener, a policy, a router and a signer
 * on each, and one credential-store. Started in the wrong order, stopped and killed in any order.
 *
 * SEED and ROUNDS choose the run.
 */
const SEED = Number(process.env['SEED'] ?? 1);
const ROUNDS = lengthOf('ROUNDS', { short: 10, full: 20 });
const CONNECTIONS = 5;
const EVERYWHERE = ['listener', 'policy', 'router', 'signer'];

test(`two nodes, services that come and go, seed ${SEED}`, {
  ...needs('nats-server'),
  timeout: 15 * 60_000,
}, async (t) => {
  const random = seededRandom(SEED);
  await using nats = await startNatsServer({ jetStream: true });
  await using sink = await Tally.start();
  const nek = generateNek('shared');
  const config =
    `bus: { servers: ["${nats.url}"] }\ndomains: [{ name: example.com, signing: { mode: enforce }, keys: { proof: none } }]\n` +
    `delivery: { connections: ${CONNECTIONS} }\n`;
  await using first = await SealpostNode.create({ name: 'edge-1', nek, sink: sink.port, config });
  await using second = await SealpostNode.create({ name: 'edge-2', nek, sink: sink.port, config });
  const nodes = [first, second];
  /** A load at each node while `during` runs, and until all that was accepted has arrived. */
  const underLoad = async (
    run: string,
    sizes: number[],
    during: (loads: Load[]) => Promise<unknown>,
  ): Promise<Load[]> => {
    const loads = nodes.map(({ port }, i) => new Load(`${run}-${i}`, { port, sessions: 4, sizes, random }));
    for (const load of loads) load.start();
    try {
      await during(loads);
    } finally {
      await Promise.all(loads.map((load) => load.stop()));
    }
    const missing = (): string[] => loads.flatMap((load) => [...load.accepted].filter((id) => !sink.arrivals.has(id)));
    await waitFor(() => missing().length === 0, { timeout: 90_000, what: `every accepted message of ${run}` });
    return loads;
  };
  const accepts = (all: Load[], count: number): Promise<unknown> =>
    waitFor(() => all.every((load) => load.accepted.size >= count), {
      timeout: 30_000,
      what: `${count} messages at each node`,
    });

  await t.test('started while NATS is away, callers before those they call: everything comes up', async () => {
    await nats.kill();
    for (const node of nodes) for (const service of EVERYWHERE) node.launch(service);
    await delay(3000);
    await nats.restart();
    first.launch('credential-store');
    await first.createKey('example.com', 's1');
    await underLoad('start', [1000], (loads) => accepts(loads, 20));
  });

  await t.test('a router that is full: its listener takes the other one', async () => {
    const yaml = await readFile(first.configFile, 'utf8');
    await writeFile(first.configFile, `${yaml}queue: { reserve: 900000GB }\n`);
    const router = first.programs.get('router');
    await waitFor(() => router?.output.includes('configuration changed'), { what: 'the new reserve' });
    for (const load of await underLoad('full', [1000, 100_000], (loads) => accepts(loads, 50)))
      assert.deepEqual([...load.refused.keys()], []);
    await writeFile(first.configFile, yaml);
    await waitFor(() => (router?.output.split('configuration changed').length ?? 0) > 2, { what: 'the old reserve' });
  });

  await t.test('services and NATS stop, die and come back in any order', async () => {
    const services = [
      ...EVERYWHERE.flatMap((service) => nodes.map((node) => ({ node, service }))),
      { node: first, service: 'credential-store' },
    ];
    let kills = 0;
    const round = async (): Promise<void> => {
      const away = services.filter(() => random() < 0.3);
      const natsToo = random() < 0.3;
      if (natsToo) await nats.kill();
      for (const { node, service } of away) {
        const program = node.programs.get(service);
        const killed = random() < 0.5;
        kills += killed ? 1 : 0;
        await (killed ? program?.kill() : program?.stop());
      }
      await delay(random() * 1000);
      const order = away.map((one) => ({ ...one, at: random() })).toSorted((a, b) => a.at - b.at);
      for (const { node, service } of order.slice(0, 2)) node.launch(service);
      if (natsToo) await nats.restart();
      for (const { node, service } of order.slice(2)) node.launch(service);
      await delay(random() * 2000);
    };
    const loads = await underLoad('churn', [500, 4000, 40_000], async (all) => {
      for (let n = 0; n < ROUNDS; n++) await round();
      const before = Math.max(...all.map((load) => load.accepted.size));
      await accepts(all, before + 20);
    });
    const refused = JSON.stringify(loads.map((load) => Object.fromEntries(load.refused)));
    const accepted = loads.map((load) => load.accepted.size);
    t.diagnostic(`accepted ${accepted}, kills ${kills}, duplicates ${sink.duplicates}, refused ${refused}`);
    assert.ok(sink.duplicates <= kills * CONNECTIONS, `${sink.duplicates} duplicates`);
  });

  assert.deepEqual([...sink.signatures.keys()], [1], 'every message carries one signature');
});
