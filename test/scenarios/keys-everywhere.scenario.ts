import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cable } from '#test/kit/bus/cable.ts';
import { findTraces, keyTraces } from '#test/kit/dkim/key-traces.ts';
import { DOMAIN, EdgeCluster } from '#test/kit/nodes/edge-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * One set of keys on five nodes: made anywhere and held everywhere, restored when JetStream or a node lost its storage,
 * and never readable outside the processes that sign.
 */
const CONFIG = 'keys: { ttl: 1s, retire-after: 15s, keep-revoked: 5s }\n';

function pem(kind: 'rsa' | 'ed25519'): string {
  const pair = kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

test('one set of keys', { ...needs('nats-server', 'named', ...VERIFIER), timeout: 15 * 60_000 }, async (t) => {
  await using dir = await tempDir();
  const captured = join(dir.path, 'captured');
  const record = createWriteStream(captured);
  await using cables = new AsyncDisposableStack();
  await using cluster = await EdgeCluster.start({
    config: CONFIG,
    // Every byte between the nodes and NATS goes through these.
    busServers: async (servers) => {
      const all = await Promise.all(servers.map((s) => Cable.start(s.port, (bytes) => record.write(bytes))));
      for (const cable of all) cables.use(cable);
      return all.map((cable) => cable.url);
    },
  });
  const { nats, nodes } = cluster;
  const imported = { rsa: pem('rsa'), ed25519: pem('ed25519') };
  /** Every private key that there was, in clear. */
  const secrets = Object.values(imported);
  const fingerprints = async (): Promise<string[]> =>
    Promise.all(nodes.map(async (node) => (await cluster.keys(node)).map((k) => k.fingerprint).join()));

  await t.test('keys that are made or imported at any node are on all five, with one fingerprint', async () => {
    await cluster.node(3).createKey(DOMAIN, 's1');
    secrets.push(await cluster.node(2).sealpost('keys', 'export', DOMAIN, 's1', '--out', '-'));
    for (const [n, kind] of ['rsa', 'ed25519'].entries()) {
      const file = join(dir.path, `${kind}.pem`);
      await writeFile(file, imported[kind as keyof typeof imported], { mode: 0o600 });
      await cluster.node(4 + n).sealpost('keys', 'import', 'pem', DOMAIN, `old-${kind}`, file);
      await rm(file);
    }
    await cluster.reached('old-ed25519', 'active');
    await cluster.reached('old-rsa', 'proven');
    await waitFor(async () => new Set(await fingerprints()).size === 1, { timeout: 10_000, what: 'the same keys' });
    assert.equal((await cluster.keys()).length, 3);
  });

  await t.test('JetStream’s storage is wiped: the nodes restore it', async () => {
    const before = await fingerprints();
    await Promise.all(nats.map((server) => server.kill()));
    await Promise.all(nats.map((server) => server.wipe()));
    await Promise.all(nats.map((server) => server.restart()));
    await waitFor(() => cluster.node(2).sealpost('keys', 'schedule', DOMAIN, '--every', '90d'), {
      timeout: 90_000,
      what: 'a change to be taken again',
    });
    assert.deepEqual(await fingerprints(), before);
  });

  await t.test('the LevelDB of a node is wiped: it fetches everything again, from the restored JetStream', async () => {
    const node = cluster.node(1);
    const before = await fingerprints();
    await node.programs.get('all')?.stop();
    await rm(join(node.folder, 'data', 'credentials'), { recursive: true });
    await node.start();
    await waitFor(async () => JSON.stringify(await fingerprints()) === JSON.stringify(before), {
      timeout: 30_000,
      what: 'the keys to be back',
    });
    assert.match(await node.sealpost('keys', 'schedule', DOMAIN), /90/);
  });

  await t.test('of two administrators who rotate at once one wins, and the other hears why', async () => {
    await cluster.zones.lag(1);
    const tries = await Promise.allSettled([
      cluster.node(2).sealpost('keys', 'rotate', DOMAIN),
      cluster.node(5).sealpost('keys', 'rotate', DOMAIN),
    ]);
    const refused = tries.flatMap((r) =>
      r.status === 'rejected' ? [r.reason as { stderr: string; code: number }] : [],
    );
    assert.equal(refused.length, 1);
    t.diagnostic(refused[0]?.stderr ?? '');
    assert.match(refused[0]?.stderr ?? '', /example\.com is being rotated: started by edge-[25]/);
    assert.equal(refused[0]?.code, 1);
    await cluster.zones.catchUp(1);
    await waitFor(async () => (await cluster.rotation()) === undefined, {
      timeout: 60_000,
      what: 'the rotation to end',
    });
  });

  await t.test('no private key is in a LevelDB, in a file of NATS, or in what passed between them', async () => {
    for (const { selector, state } of await cluster.keys()) {
      if (state !== 'active' || selector.startsWith('old-')) continue;
      secrets.push(await cluster.node(1).sealpost('keys', 'export', DOMAIN, selector, '--out', '-'));
    }
    await Promise.all(nodes.map((node) => node.programs.get('all')?.stop()));
    record.end();
    await once(record, 'close');
    const said = nodes.flatMap((node) => [...node.programs.values()].map((program) => program.output));
    await writeFile(join(dir.path, 'logs'), said.join('\n'));
    const traces = secrets.flatMap(keyTraces);
    const control = join(dir.path, 'control.pem');
    const folders = [dir.path, ...nodes.map((node) => node.folder), ...nats.map((s) => s.folder)];

    await writeFile(control, imported.rsa);
    assert.deepEqual((await findTraces([dir.path], traces)).found, [control], 'the search finds a key that is there');
    await rm(control);

    // The search looks where keys pass: their wrapped form is there.
    const wrapped = await findTraces(folders, [Buffer.from('"nekFingerprint"')]);
    const holds = (folder: string): boolean => wrapped.found.some((path) => path.startsWith(folder));
    assert.ok(holds(captured), 'keys were captured on their way');
    for (const node of nodes) assert.ok(holds(join(node.folder, 'data', 'credentials')), node.folder);
    for (const server of nats) assert.ok(holds(join(server.folder, 'jetstream')), server.folder);
    const { files, entries, found } = await findTraces(folders, traces);
    t.diagnostic(
      `${files} files and ${entries} entries searched for ${traces.length} traces of ${secrets.length} keys`,
    );
    assert.deepEqual(found, []);
    assert.ok(files > 20 && entries >= 2 * nodes.length && secrets.length > 3);
  });
});
