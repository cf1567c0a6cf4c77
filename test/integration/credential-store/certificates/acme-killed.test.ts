import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type AcmeExchange, AcmeFront } from '#test/kit/tls/acme-front.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A node that dies (kill -9) while it drives an order: another one ends the order. Nothing stays in DNS, the authority makes
 * one certificate, and what failed before is remembered.
 */

const NAME = 'mx.example.com';
const PROOF = `_acme-challenge.${NAME}`;

/** When the driving node dies; the first exchange that fits. */
const MOMENTS: { what: string; path: string; when: 'before' | 'after' }[] = [
  { what: 'before it asks for the order', path: '/order-plz', when: 'before' },
  { what: 'before it knows the order', path: '/order-plz', when: 'after' },
  { what: 'when it knows what is to be proven', path: '/authZ/', when: 'after' },
  { what: 'when the proof is in DNS', path: '/chalZ/', when: 'before' },
  { what: 'when the authority looks at the proof', path: '/chalZ/', when: 'after' },
  { what: 'before it asks for the certificate', path: '/finalize-order/', when: 'before' },
  { what: 'when the certificate was made, and it does not know', path: '/finalize-order/', when: 'after' },
  { what: 'before it fetches the certificate', path: '/certZ/', when: 'before' },
  { what: 'when it has the certificate, and nobody else', path: '/certZ/', when: 'after' },
];

test('a node that dies in the middle of an order', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 600_000,
}, async (t) => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx A 127.0.0.1' });
  // The primary goes away in one case, and the authority asks the other one.
  const [, dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns });
  await using front = await AcmeFront.start(pebble);
  const entry = { name: 'mx', names: [NAME], acme: { directory: front.directory, ca: front.ca } };
  const config = `${zones.yaml()}certificates: ${JSON.stringify([entry])}\n`;
  await using cluster = await CertificateCluster.start({ config });
  await cluster.inUse('mx', (one) => one.current?.origin === 'acme', 120_000);
  let asking = 0;

  /** Order it, and kill the node that drives the order at a moment; answers that node, and those that live. */
  const orderAndKill = async ({ path, when }: Pick<(typeof MOMENTS)[number], 'path' | 'when'>) => {
    for (const node of cluster.nodes) if (node.programs.get('all')?.exit !== undefined) await node.start();
    const { promise, resolve, reject } = Promise.withResolvers<SealpostNode>();
    let armed = true;
    const strike = async (exchange: AcmeExchange): Promise<void> => {
      if (!armed || !exchange.path.startsWith(path)) return;
      armed = false;
      await killDriver(cluster.nodes).then(resolve, reject);
      // What it asked for does not arrive any more.
      if (when === 'before') throw new Error('its connection is gone');
    };
    front[when] = strike;
    const asked = cluster.nodes[asking++ % cluster.nodes.length] as SealpostNode;
    const { renewal } = await statusOf(asked, 'certificate-order');
    const dead = await Promise.race([promise, failedOrder(asked, renewal?.problem?.tries, promise)]);
    const living = cluster.nodes.filter((node) => node !== dead);
    return { dead, living };
  };

  for (const moment of MOMENTS) {
    await t.test(moment.what, async () => {
      const before = (await statusOf(cluster.node(1))).current?.fingerprint;
      const made = front.accepted('/finalize-order/').length;
      const { dead, living } = await orderAndKill(moment);
      const [witness] = living as [SealpostNode];
      const isNew = async (): Promise<boolean> => {
        const { current } = await statusOf(witness);
        return current !== undefined && current.fingerprint !== before;
      };
      await waitFor(isNew, { timeout: 60_000, what: 'a new certificate' });
      const { current, renewal } = await statusOf(witness);
      assert.notEqual(current?.node, dead.name);
      assert.equal(renewal?.problem, undefined);
      assert.equal(renewal?.ordering, undefined);
      await zones.settled(PROOF, []);
      assert.equal(front.accepted('/finalize-order/').length - made, 1, 'certificates that were made');
      await dead.start();
      const listeners = async () => (await cluster.find('mx'))?.usedAt.length;
      await waitFor(async () => (await listeners()) === 3, { timeout: 30_000, what: 'the node that is back' });
    });
  }

  await t.test('how often an order failed is not forgotten', async () => {
    const refuse = ({ path }: AcmeExchange): void => {
      if (path.startsWith('/finalize-order/')) throw new Error('the authority hangs up');
    };
    front.before = refuse;
    front.after = () => undefined;
    const orders = front.accepted('/order-plz').length;
    const tries = async (node: SealpostNode) => (await statusOf(node)).renewal?.problem?.tries;
    await statusOf(cluster.node(1), 'certificate-order');
    await waitFor(async () => (await tries(cluster.node(1))) === 1, { what: 'an order that failed' });
    const { dead, living } = await orderAndKill({ path: '/my-order/', when: 'after' });
    const [witness] = living as [SealpostNode];
    assert.equal(await tries(witness), 1);
    await waitFor(async () => (await tries(witness)) === 2, { timeout: 60_000, what: 'the second failure' });
    await zones.settled(PROOF, []);
    front.before = () => undefined;
    const made = front.accepted('/finalize-order/').length;
    await statusOf(witness, 'certificate-order');
    await waitFor(async () => (await tries(witness)) === undefined, { timeout: 60_000, what: 'the certificate' });
    assert.equal(front.accepted('/finalize-order/').length - made, 1);
    assert.equal(front.accepted('/order-plz').length - orders, 1, 'orders');
    await dead.start();
  });

  await t.test('a name server that is away when the proof is to go: it goes when that is back', async () => {
    const before = (await statusOf(cluster.node(1))).current?.fingerprint;
    front.after = async ({ path }) => {
      if (path.startsWith('/chalZ/')) await zones.stop(0);
    };
    await statusOf(cluster.node(1), 'certificate-order');
    const isNew = async () => (await statusOf(cluster.node(1))).current?.fingerprint !== before;
    await waitFor(isNew, { timeout: 90_000, what: 'a new certificate' });
    assert.equal((await zones.txt(1, PROOF)).length, 1);
    await zones.restart(0);
    const isGone = async () => (await zones.txt(0, PROOF)).length === 0;
    await waitFor(isGone, { timeout: 90_000, what: 'the proof to go' });
    await zones.settled(PROOF, []);
  });

  await t.test('an order that nobody wants any more: the proof goes, and so does the claim', async () => {
    const { living } = await orderAndKill({ path: '/chalZ/', when: 'before' });
    for (const node of living) {
      const text = await readFile(node.configFile, 'utf8');
      await writeFile(node.configFile, text.replace(/^certificates: .*$/m, ''));
      node.programs.get('all')?.signal('SIGHUP');
    }
    const [witness] = living as [SealpostNode];
    const isFree = async () => (await statusOf(witness)).renewal?.ordering === undefined;
    await waitFor(isFree, { timeout: 60_000, what: 'the claim to go' });
    await zones.settled(PROOF, []);
  });
});

async function killDriver(nodes: readonly SealpostNode[]): Promise<SealpostNode> {
  const [first] = nodes as [SealpostNode];
  const { renewal } = await statusOf(first);
  const driver = nodes.find(({ name }) => name === renewal?.ordering);
  assert.ok(driver, `nobody orders: ${JSON.stringify(renewal)}`);
  for (const program of driver.programs.values()) await program.kill();
  return driver;
}

/** Rejects with the reason when one more order than `before` fails, and no node was killed. */
async function failedOrder(asked: SealpostNode, before: number | undefined, killed: Promise<unknown>): Promise<never> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  killed.then(over, over);
  const isNews = async () => {
    if (isOver) return true;
    const { renewal } = await statusOf(asked);
    return renewal?.problem && renewal.problem.tries !== before ? renewal.problem.text : false;
  };
  const problem = await waitFor(isNews, { timeout: 60_000, what: 'the node that orders to die' });
  if (problem === true) return new Promise<never>(() => undefined);
  throw new Error(`the order failed: ${problem}`);
}

function statusOf(
  node: SealpostNode,
  operation: 'certificate-show' | 'certificate-order' = 'certificate-show',
): Promise<CertificateStatus> {
  return node.client('credential-store')[operation]({ name: 'mx' });
}
