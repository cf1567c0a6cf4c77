import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lengthOf } from '#test/kit/length.ts';
import { CONNECTIONS, CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { seededRandom } from '#test/kit/random.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes, two copies of each message, and rules that journal the mail of example.com: as it is to one domain, in reports to
 * another one. Nodes are killed under load, and come back at once, or after another node has taken their mail over; the archive
 * stops answering meanwhile, so that copies for it are among what is lost and taken over. In the end every message of
 * example.com that was answered with 250, and every other one that arrived, is in the archive, in its form and under one queue
 * id: rules were applied once. What arrives there twice was on its way when a node was killed, as with all mail. Mail of another
 * sender is not there.
 *
 * SEED and KILLS choose the run.
 */
const SEED = Number(process.env['SEED'] ?? 1);
const KILLS = lengthOf('KILLS', { short: 4, full: 16 });
/** `queue.takeover-after` in ms. */
const LEASE = 4000;

test(`a journal through ${KILLS} kills, seed ${SEED}`, { ...needs('nats-server'), timeout: 30 * 60_000 }, async (t) => {
  const random = seededRandom(SEED);
  const between = (low: number, high: number): number => Math.round(low + random() * (high - low));
  await using archive = await Tally.start();
  await using cluster = await CopiesCluster.start({
    queue: `takeover-after: ${LEASE / 1000}s, retry: { first: 2s, max: 5s }`,
    routes: [`{ to: vault.test, via: "smtp://127.0.0.1:${archive.port}" }`],
    sections: [
      'rules:',
      ...journals('archive', 'dest.test', 'to: archive@vault.test'),
      ...journals('reports', 'report.test', 'to: reports@vault.test, form: report'),
    ].join('\n'),
  });
  const { sink } = cluster;
  const loads = [
    ...cluster.loads(`journal-${SEED}`, 60),
    ...cluster.loads(`report-${SEED}`, 60, { to: 'rcpt@report.test' }),
  ];
  await using others = new Load('other', { port: cluster.node(1).port, sessions: 1, rate: 10, from: 'x@other.test' });
  for (const load of [...loads, others]) load.start();
  await waitFor(() => archive.messages > 200, { timeout: 60_000, what: 'copies' });

  let takenOver = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    for (const n of [1, 2, 3]) await whole(cluster, n);
    const n = between(1, 3);
    archive.pause();
    const before = sink.messages;
    await waitFor(() => sink.messages > before + 50, {
      timeout: 60_000,
      what: 'mail to pass while the archive is silent',
    });
    await cluster.node(n).programs.get('all')?.kill();
    const away = kill % 2 === 0 ? between(LEASE * 1.5, LEASE * 2.5) : between(0, LEASE / 4);
    await delay(away);
    archive.resume();
    if (kill % 2 === 0) takenOver += await takeOvers(cluster, n);
    await cluster.node(n).start();
    t.diagnostic(`${kill}. edge-${n} killed, back after ${(away / 1000).toFixed(1)} s`);
  }
  await Promise.all([...loads, others].map((load) => load.stop()));
  await cluster.arrived(loads);
  for (const n of [1, 2, 3]) {
    await waitFor(
      async () => {
        const { active, deferred } = await cluster.status(n);
        return active + deferred === 0;
      },
      { timeout: 120_000, what: `the queue of edge-${n} to be empty` },
    );
  }

  const accepted = loads.flatMap((load) => [...load.accepted]);
  const ofDomain = [...sink.arrivals.keys()].filter((id) => !id.startsWith('other-')).toSorted();
  const several = [...archive.queueIds].filter(([, ids]) => ids.size > 1);
  t.diagnostic(
    `accepted ${accepted.length}, arrived ${ofDomain.length}, in the archive ${archive.arrivals.size}, ${archive.reported.size} of them in reports; taken over ${takenOver}; ` +
      `delivered twice: ${archive.duplicates} to the archive, ${sink.duplicates} to others; not journaled ${others.accepted.size}`,
  );
  assert.deepEqual(
    accepted.filter((id) => !archive.arrivals.has(id)),
    [],
    'accepted mail without a copy',
  );
  assert.deepEqual([...archive.arrivals.keys()].toSorted(), ofDomain, 'the archive has what others got, and no more');
  assert.deepEqual(
    [...archive.reported].toSorted(),
    ofDomain.filter((id) => id.startsWith('report-')),
    'what is for one domain came in reports',
  );
  assert.equal(archive.queueIds.size, archive.arrivals.size);
  assert.deepEqual(several, [], 'copies of two messages');
  assert.ok(archive.duplicates <= KILLS * CONNECTIONS, `${archive.duplicates} duplicates`);
  assert.ok(takenOver > 0, 'something was taken over');
  assert.ok(others.accepted.size > 20, 'there was mail of another domain');
});

/** Two rules that journal the mail of example.com to a domain; there is to be one copy all the same. */
function journals(name: string, domain: string, journal: string): string[] {
  return [
    `  - { name: ${name}, when: { address: [example.com], to: [${domain}] }, journal: { ${journal} } }`,
    `  - { name: ${name}-2, when: { direction: out, from: [example.com], to: [${domain}] }, journal: { ${journal} } }`,
  ];
}

/** A node serves, and each of its messages has its copy. */
async function whole(cluster: CopiesCluster, n: number): Promise<void> {
  await waitFor(
    async () => {
      const { copies } = await cluster.status(n);
      return copies.lease === 'held' && copies.missing === 0;
    },
    { timeout: 60_000, what: `edge-${n} to be whole` },
  );
}

/** Messages that the other nodes have taken over since their start. */
async function takeOvers(cluster: CopiesCluster, dead: number): Promise<number> {
  const living = [1, 2, 3].filter((n) => n !== dead);
  const sum = async (): Promise<number> =>
    (await Promise.all(living.map((n) => cluster.status(n)))).reduce((all, { copies }) => all + copies.takenOver, 0);
  return waitFor(async () => (await sum()) || undefined, { timeout: 60_000, what: 'a take-over' });
}
