import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengthOf } from '#test/kit/length.ts';
import { DOMAIN, EdgeCluster } from '#test/kit/nodes/edge-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A rotation under load through five nodes: every message is signed and verifies at the moment it arrives, before,
 * during and after. Then the old key goes its way to the end. MESSAGES chooses how many.
 */
const MESSAGES = lengthOf('MESSAGES', { short: 6_000, full: 20_000 });
const RATE = 300;
/** Messages a second below which the run shows too little. */
const LEAST_RATE = 200;

test(`a rotation under load, ${MESSAGES} messages`, {
  ...needs('nats-server', 'named', ...VERIFIER),
  timeout: 20 * 60_000,
}, async (t) => {
  await using cluster = await EdgeCluster.start({
    config: 'keys: { ttl: 1s, retire-after: 15s, keep-revoked: 10s }\n',
  });
  const { sink } = cluster;
  await cluster.node(2).createKey(DOMAIN, 's1');
  const loads = cluster.loads('rotation', RATE);
  const started = performance.now();
  for (const load of loads) load.start();
  await waitFor(() => sink.messages >= MESSAGES / 4, { timeout: 5 * 60_000, what: 'a quarter of the mail' });
  assert.deepEqual([...sink.passed.keys()], ['s1']);

  const watched = await cluster.node(4).sealpost('keys', 'rotate', DOMAIN, '--selector', 's2', '--watch');
  t.diagnostic(`rotated:\n${watched}`);
  assert.deepEqual(await cluster.active(cluster.node(4)), ['s2']);
  const ending = end(cluster, 's1');
  // Its failure is awaited below, after the load.
  ending.catch(() => undefined);

  const all = (): boolean => sink.messages >= MESSAGES && (sink.passed.get('s2') ?? 0) > MESSAGES / 4;
  await waitFor(all, { timeout: 10 * 60_000, what: 'all of the mail' });
  await Promise.all(loads.map((load) => load.stop()));
  const seconds = (performance.now() - started) / 1000;
  await cluster.arrived(loads);
  const rate = Math.round(sink.messages / seconds);
  t.diagnostic(`${sink.messages} messages in ${Math.round(seconds)} s, ${rate}/s; signed by ${[...sink.passed]}`);
  assert.deepEqual(sink.bad.slice(0, 3), []);
  assert.ok(rate >= LEAST_RATE, `${rate} messages a second are no load: is this machine busy with something else?`);
  assert.ok((sink.passed.get('s1') ?? 0) > 0 && (sink.passed.get('s2') ?? 0) > 0);

  await ending;
  for (const node of cluster.nodes) assert.deepEqual(await cluster.active(node), ['s2']);
});

/** The old key is retiring and still published, then revoked by an empty record, then gone. */
async function end(cluster: EdgeCluster, selector: string): Promise<void> {
  const { zones } = cluster;
  const name = `${selector}._domainkey.${DOMAIN}`;
  await cluster.reached(selector, 'retiring');
  for (const [n] of zones.servers.entries()) assert.match((await zones.txt(n, name))[0] ?? '', /p=MII/);
  await cluster.reached(selector, 'revoked');
  for (const [n] of zones.servers.entries()) assert.match((await zones.txt(n, name))[0] ?? '', /p=$/);
  await waitFor(async () => (await cluster.key(selector)) === undefined, { timeout: 60_000, what: 's1 to be deleted' });
  await zones.settled(name, []);
}
