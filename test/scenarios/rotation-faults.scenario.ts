import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lengthOf } from '#test/kit/length.ts';
import { DOMAIN, EdgeCluster } from '#test/kit/nodes/edge-cluster.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A rotation under load while a name server lags, and a node, the driving node and the whole NATS cluster are killed:
 * nothing goes out unsigned or with a signature that does not verify, and no key is switched before every server has it.
 * MESSAGES chooses how many are sent at least.
 */
const MESSAGES = lengthOf('MESSAGES', { short: 8_000, full: 20_000 });
const RATE = 200;

test('a rotation through faults', {
  ...needs('nats-server', 'named', ...VERIFIER),
  timeout: 20 * 60_000,
}, async (t) => {
  await using cluster = await EdgeCluster.start({ config: 'keys: { ttl: 1s, retire-after: 15s, keep-revoked: 5s }\n' });
  const { sink, zones, nats } = cluster;
  await cluster.node(1).createKey(DOMAIN, 's1');
  const loads = cluster.loads('faults', RATE);
  for (const load of loads) load.start();
  await waitFor(() => sink.messages > 500, { timeout: 60_000, what: 'mail' });

  const alive = new Set<SealpostNode>(cluster.nodes);
  const anyone = (): SealpostNode => [...alive][0] ?? cluster.node(1);
  const rotation = () => cluster.rotation(anyone());
  const kill = async (node: SealpostNode): Promise<void> => {
    await node.programs.get('all')?.kill();
    alive.delete(node);
  };
  const comeBack = async (node: SealpostNode): Promise<void> => {
    await node.start();
    alive.add(node);
  };
  const neverSwitched = async (): Promise<void> => {
    assert.deepEqual(await cluster.active(anyone()), ['s1']);
    assert.equal(sink.passed.get('s2'), undefined);
  };

  await t.test('a secondary that lags is named, and the key is not switched', async () => {
    await zones.lag(1);
    await cluster.node(3).sealpost('keys', 'rotate', DOMAIN, '--selector', 's2');
    const lacking = zones.servers[1] ?? '';
    await waitFor(async () => (await cluster.node(5).sealpost('keys', 'list')).includes(lacking), {
      timeout: 30_000,
      what: `keys list to name ${lacking}`,
    });
    t.diagnostic(await cluster.node(5).sealpost('keys', 'list'));
    await delay(5000);
    await neverSwitched();
  });

  await t.test('a node is killed and comes back', async () => {
    const driver = (await rotation())?.driver;
    const other = cluster.nodes.find((_, i) => `edge-${i + 1}` !== driver) ?? cluster.node(1);
    await kill(other);
    await delay(7000);
    await neverSwitched();
    await comeBack(other);
  });

  await t.test('the driving node is killed: another one drives', async () => {
    const driver = (await rotation())?.driver;
    assert.ok(driver !== undefined);
    const node = cluster.node(Number(driver.replace('edge-', '')));
    await kill(node);
    await waitFor(async () => ![undefined, driver].includes((await rotation())?.driver), {
      timeout: 30_000,
      what: `another driver than ${driver}`,
    });
    t.diagnostic(`${driver} drove, then ${(await rotation())?.driver}`);
    await neverSwitched();
    await comeBack(node);
  });

  await t.test('all of NATS is killed and comes back', async () => {
    await Promise.all(nats.map((server) => server.kill()));
    const before = sink.messages;
    await waitFor(() => sink.messages > before + 500, { timeout: 60_000, what: 'mail without NATS' });
    await Promise.all(nats.map((server) => server.restart()));
    await waitFor(async () => (await rotation())?.state === 'running', { timeout: 60_000, what: 'the cluster' });
    await neverSwitched();
  });

  await t.test('the secondary catches up: the rotation ends', async () => {
    await zones.catchUp(1);
    await cluster.reached('s2', 'active', { node: anyone() });
    await waitFor(async () => (await cluster.active(anyone())).join() === 's2', { timeout: 60_000, what: 's2 alone' });
  });

  await t.test('NATS is killed in the middle of the next one', async () => {
    await zones.lag(1);
    await anyone().sealpost('keys', 'rotate', DOMAIN, '--selector', 's3');
    await waitFor(async () => (await cluster.key('s3', anyone()))?.state === 'published', {
      timeout: 30_000,
      what: 's3',
    });
    await Promise.all(nats.map((server) => server.kill()));
    await zones.catchUp(1);
    await delay(5000);
    assert.equal(sink.passed.get('s3'), undefined);
    await Promise.all(nats.map((server) => server.restart()));
    await waitFor(async () => (await cluster.active(anyone())).join() === 's3', { timeout: 90_000, what: 's3 alone' });
  });

  await waitFor(() => sink.messages >= MESSAGES, { timeout: 5 * 60_000, what: 'all of the mail' });
  await Promise.all(loads.map((load) => load.stop()));
  await cluster.arrived(loads);
  t.diagnostic(`${sink.messages} messages, signed by ${[...sink.passed]}`);
  assert.deepEqual(sink.bad.slice(0, 3), []);
});
