import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';
import { presentedAt } from '#test/kit/tls/presented.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Certificates ordered from Pebble with the proof by HTTP: each name leads to the listener of another node, on an address
 * of its own, and one node drives the order. The zone takes no updates from the nodes.
 */

const NAMES = ['mx1.example.com', 'mx2.example.com', 'mx3.example.com'];
const ZONE = `${NAMES.map((_, n) => `mx${n + 1} A 127.0.0.${n + 1}`).join('\n')}\naway A 127.0.0.9\n`;

test('the listener of any node proves a name for the order of another; what fails is told', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 300_000,
}, async (t) => {
  await using zones = await ZoneServers.start({ 'example.com': ZONE }, { secondaries: 0 });
  const [dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns });
  const acme = { directory: pebble.directory, ca: pebble.ca, challenge: 'http-01' };
  const entries = [
    { name: 'mx', names: NAMES, acme },
    { name: 'away', names: ['away.example.com'], acme },
  ];
  const config = (n: number): string =>
    [
      `certificates: ${JSON.stringify(entries)}`,
      `http-challenge: { address: 127.0.0.${n}, port: ${pebble.httpPort} }`,
      `dns: { servers: [${JSON.stringify(dns)}] }`,
    ].join('\n');
  await using cluster = await CertificateCluster.start({ config });

  await t.test('a certificate for names that lead to three nodes', async () => {
    const { current } = await cluster.inUse('mx', (one) => one.current?.origin === 'acme', 120_000);
    assert.deepEqual(current?.names.toSorted(), NAMES);
    for (const { port } of cluster.nodes) assert.equal((await presentedAt(port)).fingerprint256, current?.fingerprint);
    const { listeners: _, ...status } = await cluster.node(2).client('listener')['status-show']({});
    assert.deepEqual(status.httpChallenge, { port: pebble.httpPort });
  });

  await t.test('a name where nobody answers: the reason has the words of the authority', async () => {
    const problem = async () => (await cluster.find('away'))?.renewal?.problem;
    await waitFor(async () => (await problem()) !== undefined, { timeout: 60_000, what: 'the reason' });
    const said = /^the authority is not content with the proof for away\.example\.com: .*127\.0\.0\.9:\d+.*refused/;
    assert.match((await problem())?.text ?? '', said);
    const { findings } = await cluster.list();
    assert.match(findings.find(({ about }) => about === 'certificate away')?.text ?? '', /not content .* refused/);
  });

  await t.test('after the order no token is left', async () => {
    const tokens = [...pebble.output.matchAll(/acme-challenge\/([\w-]{22,})/g)].map(([, token]) => token);
    assert.ok(new Set(tokens).size >= NAMES.length, pebble.output);
    for (const token of new Set(tokens)) {
      const answer = await fetch(`http://127.0.0.1:${pebble.httpPort}/.well-known/acme-challenge/${token}`);
      assert.equal(answer.status, 404);
    }
  });
});

test('without a listener that serves HTTP the order says so, and asks nothing of the authority', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 120_000,
}, async () => {
  await using zones = await ZoneServers.start({ 'example.com': ZONE }, { secondaries: 0 });
  const [dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns });
  const acme = { directory: pebble.directory, ca: pebble.ca, challenge: 'http-01' };
  const config = `certificates: ${JSON.stringify([{ name: 'mx', names: NAMES, acme }])}\n`;
  await using cluster = await CertificateCluster.start({ config });
  const problem = async () => (await cluster.find('mx'))?.renewal?.problem?.text;
  await waitFor(async () => (await problem()) !== undefined, { timeout: 60_000, what: 'the reason' });
  assert.match((await problem()) ?? '', /^no listener answers challenges by HTTP: add http-challenge: \{ port: 80 \}/);
  assert.doesNotMatch(pebble.output, /performing HTTP challenge|Attempting to validate/i);
});
