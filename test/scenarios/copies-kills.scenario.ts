import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { client } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { routerContract } from '#services/router/contract.ts';
import { silentLogger } from '#shared/log.ts';
import { lengthOf } from '#test/kit/length.ts';
import { CONNECTIONS, CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { seededRandom } from '#test/kit/random.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes, two copies of each message, 150 messages a second, and one fault after the other, in random order: a
 * node is killed and comes back before or after its mail was taken over, or with an empty disk; it stands still for a
 * while; it is drained; a NATS server is killed. Now and then the next hop stops answering while that happens, so that
 * there is mail to lose. Every message that was answered with 250 must arrive; what arrives twice is at most what was
 * on its way to the next hop when a node was killed or stood still.
 *
 * SEED and ROUNDS choose the run.
 */
const SEED = Number(process.env['SEED'] ?? 1);
const ROUNDS = lengthOf('ROUNDS', { short: 6, full: 18 });
/** `queue.takeover-after` in ms. */
const LEASE = 4000;

type Fault = (n: number) => Promise<void>;

test(`${ROUNDS} faults of a cluster under load, seed ${SEED}`, {
  ...needs('nats-server'),
  timeout: 30 * 60_000,
}, async (t) => {
  const random = seededRandom(SEED);
  const between = (low: number, high: number): number => Math.round(low + random() * (high - low));
  await using cluster = await CopiesCluster.start({ queue: `takeover-after: ${LEASE / 1000}s` });
  const { sink, nats } = cluster;
  await using stack = new AsyncDisposableStack();
  const bus = await NatsBus.connect({ servers: nats.map(({ url }) => url), node: 'operator', log: silentLogger });
  stack.defer(() => bus.drain());
  const router = client(bus, routerContract);

  /** Every node serves, and each of its messages has its copy. */
  const whole = async (): Promise<void> => {
    for (const n of [1, 2, 3]) {
      await waitFor(
        async () => {
          const { refusing, copies } = await router['status-show']({}, { node: `edge-${n}`, timeout: 2000 });
          return refusing === undefined && copies?.lease === 'held' && copies.missing === 0;
        },
        { timeout: 60_000, what: `edge-${n} to be whole` },
      );
    }
  };
  const program = (n: number) => cluster.node(n).programs.get('all');
  const restart = async (n: number): Promise<void> => void (await cluster.node(n).start());
  let disks = 0;
  const faults: Record<string, Fault> = {
    async 'killed, back at once'(n) {
      await program(n)?.kill();
      await delay(between(0, LEASE / 4));
      await restart(n);
    },
    async 'killed, back after the take-over'(n) {
      await program(n)?.kill();
      await delay(between(LEASE * 1.5, LEASE * 2.5));
      await restart(n);
    },
    async 'killed, back with an empty disk'(n) {
      await program(n)?.kill();
      const disk = join(cluster.node(n).folder, 'data');
      await rename(disk, `${disk}-${++disks}`);
      await delay(between(0, LEASE * 2));
      await restart(n);
      // The two others have each other's copies and those of the lost disk: only a while later all mail is on two again.
      await delay(LEASE * 2);
    },
    async 'stands still'(n) {
      await program(n)?.pause();
      await delay(between(1000, 15_000));
      program(n)?.resume();
    },
    async 'drained and started again'(n) {
      await router['queue-drain']({}, { node: `edge-${n}` });
      await waitFor(async () => (await router['status-show']({}, { node: `edge-${n}` })).copies?.drained, {
        timeout: 60_000,
        what: `edge-${n} to be drained`,
      });
      await program(n)?.stop();
      await restart(n);
    },
    async 'a NATS server killed'(n) {
      await nats[n - 1]?.kill();
      await delay(between(0, LEASE * 2));
      await nats[n - 1]?.restart();
    },
  };

  const loads = cluster.loads(`faults-${SEED}`, 150);
  for (const load of loads) load.start();
  await waitFor(() => sink.messages > 200, { timeout: 60_000, what: 'mail' });
  let names: string[] = [];
  /** Nodes that were killed or stood still: only these have anything under way that is sent again. */
  let hit = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    await whole();
    // None comes again before each has come.
    if (names.length === 0) names = Object.keys(faults);
    const [name = ''] = names.splice(Math.floor(random() * names.length), 1);
    const n = between(1, 3);
    if (/^(killed|stands still)/.test(name)) hit++;
    const stalled = random() < 0.6;
    const before = sink.duplicates;
    const began = performance.now();
    if (stalled) {
      sink.pause();
      await delay(between(200, 2000));
    }
    const resuming = stalled ? delay(between(500, 8000)).then(() => sink.resume()) : undefined;
    await faults[name]?.(n);
    await resuming;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    t.diagnostic(
      `${round}. ${name}: ${n}${stalled ? ', next hop stalled' : ''}: ${seconds} s, duplicates +${sink.duplicates - before}`,
    );
  }
  await whole();
  await Promise.all(loads.map((load) => load.stop()));
  await cluster.arrived(loads).catch(() => undefined);
  let left = '';
  await Promise.all(
    [1, 2, 3].map((n) =>
      waitFor(
        async () => {
          const { active, deferred, copies } = await router['status-show']({}, { node: `edge-${n}` });
          return active + deferred === 0 && copies?.held === 0;
        },
        // A holder asks every minute which copies are needed no more.
        { timeout: 120_000, what: `queue and copies of edge-${n} to go` },
      ),
    ),
  ).catch((error: unknown) => {
    left = String(error);
  });

  const accepted = loads.flatMap((load) => [...load.accepted]);
  const known = new Set([...accepted, ...loads.flatMap((load) => [...load.unknown])]);
  const refused = [...sink.arrivals.keys()].filter((id) => !known.has(id));
  t.diagnostic(
    `accepted ${accepted.length}, arrived ${sink.arrivals.size}, without a reply ${known.size - accepted.length}, ` +
      `refused ${JSON.stringify(loads.map((load) => Object.fromEntries(load.refused)))}, ` +
      `refused and arrived ${refused.length}, duplicates ${sink.duplicates}`,
  );
  for (const n of [1, 2, 3]) {
    const { active, deferred, copies } = await router['status-show']({}, { node: `edge-${n}` });
    t.diagnostic(`edge-${n}: ${JSON.stringify({ active, deferred, ...copies })}`);
  }
  assert.deepEqual(cluster.missing(loads), [], 'accepted mail that did not arrive');
  assert.equal(left, '');
  assert.ok(sink.duplicates <= hit * CONNECTIONS, `${sink.duplicates} duplicates after ${hit} nodes were hit`);
});
