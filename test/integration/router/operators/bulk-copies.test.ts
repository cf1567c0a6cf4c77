import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { QueueChange } from '#shared/queue/change.ts';
import type { QueueFilter } from '#shared/queue/filter.ts';
import { freePort } from '#test/kit/free-port.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Commands for much mail at one of three nodes that keep two copies of each message. A node is killed as soon as they are done,
 * another one takes its mail over, and it comes back: what was decided stays so, and each message that is left arrives once.
 */

/** Messages to each domain at each node. */
const EACH = 20;
const ALL = 3 * EACH;
const DOMAINS = ['untouched', 'held', 'released', 'removed', 'returned', 'rerouted', 'both'] as const;
type Domain = (typeof DOMAINS)[number];

/** Messages of each domain on these nodes: not held, and held. */
type Counts = Record<Domain, [free: number, held: number]>;

test('much mail that was held, removed, returned or rerouted stays so when its node is killed', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using senders = await Tally.start();
  await using backup = await Tally.start();
  await using archive = await Tally.start();
  const dead = await freePort();
  const places = { 'senders.test': senders.port, 'vault.test': archive.port, 'dead.test': dead };
  await using cluster = await CopiesCluster.start({
    queue: 'takeover-after: 3s, retry: { first: 1h, max: 1h }',
    routes: Object.entries(places).map(([to, port]) => `{ to: ${to}, via: "smtp://127.0.0.1:${port}" }`),
    sections: 'rules: [{ name: archive, when: { to: [removed.dead.test] }, journal: { to: a@vault.test } }]',
  });
  for (const sink of [senders, backup, archive]) sink.pause();
  for (const { port } of cluster.nodes) await send(port);
  const living = [1, 3];
  const everywhere = [1, 2, 3];
  await waitFor(async () => (await count(cluster, everywhere, { reply: '4' }, 'remove')) === 7 * ALL, {
    what: 'the first attempts to be over',
    timeout: 60_000,
  });

  const change = async (operation: QueueChange, domain: Domain, ...more: string[]): Promise<void> => {
    const words = ['queue', operation, '--domain', `${domain}.dead.test`, '--yes', '--json', ...more];
    const said = JSON.parse(await cluster.node(1).sealpost(...words)) as object;
    const nodes = { 'edge-1': EACH, 'edge-2': EACH, 'edge-3': EACH };
    assert.deepEqual(said, { count: ALL, nodes, silent: [], interrupted: false }, `${operation} ${domain}`);
  };
  const via = ['--via', `smtp://127.0.0.1:${backup.port}`];
  for (const domain of ['held', 'released', 'both'] as const) await change('hold', domain);
  await change('release', 'released');
  await change('reroute', 'both', ...via);
  await change('reroute', 'rerouted', ...via);
  await change('remove', 'removed');
  await change('bounce', 'returned', '--reason', 'the end');
  await cluster.node(2).programs.get('all')?.kill();

  const expected: Counts = {
    ...{ untouched: [ALL, 0], released: [ALL, 0], rerouted: [ALL, 0] },
    ...{ held: [0, ALL], both: [0, ALL], removed: [0, 0], returned: [0, 0] },
  };
  await waitFor(async () => (await count(cluster, living, { domain: 'untouched.dead.test' }, 'remove')) === ALL, {
    what: 'the mail of edge-2 to be taken over',
    timeout: 60_000,
  });
  assert.deepEqual(await countAll(cluster, living), expected);

  await cluster.node(2).start();
  await waitFor(async () => (await cluster.status(2)).copies.handedOver > 0, {
    what: 'edge-2 to drop',
    timeout: 60_000,
  });
  await waitFor(async () => (await cluster.status(2)).copies.lease === 'held', { what: 'edge-2', timeout: 60_000 });
  assert.deepEqual(await countAll(cluster, everywhere), expected);
  assert.equal(await count(cluster, [2], {}, 'remove'), 0, 'edge-2 has nothing of what was taken over');

  for (const sink of [senders, backup, archive]) sink.resume();
  for (const words of [
    ['retry', '--domain', 'rerouted.dead.test'],
    ['release', '--domain', 'both.dead.test'],
    ['retry', '--domain', 'vault.test'],
    ['retry', '--domain', 'senders.test'],
  ])
    await cluster.node(1).sealpost('queue', ...words, '--yes');
  for (const [what, sink, expectedCount] of [
    ['rerouted mail', backup, 2 * ALL],
    ['reports to senders', senders, ALL],
    ['copies of removed mail', archive, ALL],
  ] as const) {
    await waitFor(() => sink.arrivals.size >= expectedCount, { what, timeout: 60_000 });
    assert.deepEqual([sink.arrivals.size, sink.duplicates], [expectedCount, 0], what);
  }
  const foreign = [...backup.arrivals.keys()].filter((id) => !/^(?:rerouted|both)-/.test(id));
  assert.deepEqual([foreign, [...archive.arrivals.keys()].filter((id) => !id.startsWith('removed-'))], [[], []]);
  const left: Counts = { ...expected, rerouted: [0, 0], both: [0, 0] };
  await waitFor(async () => isDeepStrictEqual(await countAll(cluster, everywhere), left), {
    what: 'the queue to have what is left',
    timeout: 30_000,
  });
});

async function send(port: number): Promise<void> {
  await using dialog = await Dialog.connect(port);
  await dialog.read();
  await dialog.say('EHLO client.test', 250);
  for (const domain of DOMAINS) {
    for (let n = 0; n < EACH; n++) {
      await dialog.say('MAIL FROM:<alice@senders.test>', 250);
      await dialog.say(`RCPT TO:<bob@${domain}.dead.test>`, 250);
      await dialog.say('DATA', 354);
      await dialog.say(`From: <alice@senders.test>\r\nX-Load-Id: ${domain}-${port}-${n}\r\n\r\nOne.\r\n.`, 250);
    }
  }
}

/** How many messages of these nodes an operation would be for. */
async function count(
  cluster: CopiesCluster,
  nodes: readonly number[],
  filter: QueueFilter,
  operation: QueueChange,
): Promise<number> {
  let sum = 0;
  for (const n of nodes) {
    let after: string | undefined = '';
    while (after !== undefined) {
      const page: { count: number; next?: string | undefined } = await cluster
        .node(n)
        .client('router')
        ['queue-change']({ operation, filter, by: 'the test', dryRun: true, after });
      sum += page.count;
      after = page.next;
    }
  }
  return sum;
}

async function countAll(cluster: CopiesCluster, nodes: readonly number[]): Promise<Counts> {
  const counts: Partial<Counts> = {};
  for (const domain of DOMAINS) {
    const filter = { domain: `${domain}.dead.test` };
    counts[domain] = [await count(cluster, nodes, filter, 'hold'), await count(cluster, nodes, filter, 'release')];
  }
  return counts as Counts;
}
