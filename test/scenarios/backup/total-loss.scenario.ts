import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { sealpost } from '#test/kit/command.ts';
import { CopiesCluster } from '#test/kit/nodes/copies-cluster.ts';
import type { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three nodes with two copies of each message on three nats-servers, and mail that waits in all three queues. After a
 * backup every disk is lost, those of the NATS servers too. From the backup one node comes back; the others start empty. Keys
 * have the same fingerprints on all, users are there, and every message arrives once.
 *
 * Then one of them is lost beside the others, after it has delivered its mail, and is restored from a backup that has that
 * mail: nothing comes twice, and nothing that the others have is changed.
 */

const PASSPHRASE = { SEALPOST_BACKUP_PASSPHRASE: 'open sesame, please' };

async function fingerprints(node: SealpostNode): Promise<string[]> {
  const { keys } = JSON.parse(await node.sealpost('keys', 'list', '--json')) as { keys: KeyStatus[] };
  return keys.map(({ selector, fingerprint, state }) => `${selector} ${fingerprint} ${state}`).sort();
}

async function users(node: SealpostNode): Promise<string> {
  return node.sealpost('users', 'list', '--cluster');
}

async function addUser(node: SealpostNode, name: string): Promise<void> {
  const args = ['users', 'add', name, '--cluster', '--address', `${name}@example.com`, '--password-stdin'];
  const { code, stderr } = await sealpost([...args, '--config', node.configFile], {
    cwd: node.folder,
    input: 'correct horse battery staple\n',
  });
  assert.equal(code, 0, stderr);
}

async function lose(node: SealpostNode): Promise<void> {
  await node.programs.get('all')?.kill();
  for (const name of await readdir(node.folder)) await rm(join(node.folder, name), { recursive: true, force: true });
}

test('all nodes and NATS are lost, and come back from a backup', {
  ...needs('nats-server'),
  timeout: 10 * 60_000,
}, async (t) => {
  await using folder = await tempDir('backup');
  await using cluster = await CopiesCluster.start({ queue: 'retry: { first: 1s, max: 2s }' });
  const { sink, nats, nodes } = cluster;
  const command = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await sealpost(args, { cwd: folder.path, env: PASSPHRASE });
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}\n${stderr}`);
    return stdout;
  };
  const backup = (n: number, name: string): Promise<string> =>
    command('backup', join(folder.path, name), '--config', cluster.node(n).configFile, '--queue', '--json');
  await cluster.node(1).createKey('example.com', 's2', 'rsa-2048');
  await addUser(cluster.node(1), 'alice');
  const loads = cluster.loads('before', 100);
  sink.pause();
  for (const load of loads) load.start();
  const queued = async (n: number): Promise<number> => {
    const { active, deferred } = await cluster.status(n);
    return active + deferred;
  };
  for (const n of [1, 2, 3])
    await waitFor(async () => (await queued(n)) > 100, { timeout: 60_000, what: `mail in the queue of edge-${n}` });
  await Promise.all(loads.map((load) => load.stop()));
  const accepted = loads.reduce((sum, load) => sum + load.accepted.size, 0);
  const before = { keys: await fingerprints(cluster.node(1)), users: await users(cluster.node(1)) };

  const made = JSON.parse(await backup(1, 'all.age'));
  assert.deepEqual(made.missing, []);
  t.diagnostic(`${accepted} messages were accepted, ${made.messages} are in a backup of ${made.bytes} bytes`);
  assert.ok(made.messages >= accepted - sink.messages, `${made.messages} of ${accepted}`);
  const configs = await Promise.all(nodes.map((node) => readFile(node.configFile, 'utf8')));
  const nek = await readFile(join(cluster.node(2).folder, 'nek.key'));
  for (const node of nodes) await lose(node);
  for (const server of nats) {
    await server.kill();
    await server.wipe();
  }
  sink.resume();
  await Promise.all(nats.map((server) => server.restart()));

  // Nobody knows what the other two have delivered: that has to be said.
  const silent = await sealpost(['restore', join(folder.path, 'all.age'), '--queue', 'deliver'], {
    cwd: folder.path,
    env: PASSPHRASE,
  });
  assert.equal(silent.code, 1);
  assert.match(silent.stderr, /edge-2, edge-3 do not answer .* --lost/);
  const all = ['edge-1', 'edge-2', 'edge-3'];
  const options = ['--queue', 'deliver', '--node', ...all, '--lost', 'edge-2', 'edge-3', '--json'];
  const restored = JSON.parse(await command('restore', join(folder.path, 'all.age'), ...options));
  const messages = restored.mail.counts.reduce((sum: number, one: { messages: number }) => sum + one.messages, 0);
  assert.equal(messages, made.messages);
  await cluster.node(1).start();
  for (const n of [2, 3]) {
    const { folder: place, configFile } = cluster.node(n);
    await writeFile(configFile, configs[n - 1] ?? '');
    await writeFile(join(place, 'nek.key'), nek, { mode: 0o600 });
    await cluster.node(n).start();
  }
  for (const node of nodes) {
    await waitFor(async () => (await fingerprints(node)).join() === before.keys.join(), {
      timeout: 30_000,
      what: `${node.name} to have the keys`,
    });
    assert.equal(await users(node), before.users);
  }
  await cluster.arrived(loads);
  assert.equal(sink.duplicates, 0);
  assert.equal(sink.signatures.get(0) ?? 0, 0);

  // One node beside the others.
  sink.pause();
  const more = cluster.loads('after', 100);
  for (const load of more) load.start();
  await waitFor(async () => (await queued(2)) > 100, { timeout: 60_000, what: 'mail in the queue of edge-2' });
  await Promise.all(more.map((load) => load.stop()));
  const second = JSON.parse(await backup(2, 'second.age'));
  sink.resume();
  await cluster.arrived(more);
  await waitFor(async () => (await queued(2)) === 0, { timeout: 60_000, what: 'the queue of edge-2 to be empty' });
  const count = { messages: sink.messages, duplicates: sink.duplicates };
  await addUser(cluster.node(1), 'bob');
  const later = await users(cluster.node(1));
  await lose(cluster.node(2));
  await waitFor(async () => /edge-2.*gone/.test(await cluster.node(1).report('cluster', 'status')), {
    timeout: 30_000,
    what: 'edge-2 to be gone',
  });
  const beside = JSON.parse(await command('restore', join(folder.path, 'second.age'), '--queue', 'deliver', '--json'));
  t.diagnostic(`beside the others: ${JSON.stringify({ records: beside.records, mail: beside.mail })}`);
  assert.deepEqual(beside.living, ['edge-1', 'edge-3']);
  assert.equal(beside.records.restored, 0);
  assert.deepEqual(beside.records.differs, []);
  const [mail] = beside.mail.counts;
  assert.equal(mail.messages, 0, 'all of it was delivered since');
  assert.ok(mail.known.finished > 100 && second.messages >= mail.known.finished);
  await cluster.node(2).start();
  await waitFor(async () => (await users(cluster.node(2))) === later, { timeout: 30_000, what: 'edge-2 to catch up' });
  assert.deepEqual(await fingerprints(cluster.node(2)), before.keys);
  for (const n of [1, 2, 3]) await waitFor(async () => (await queued(n)) === 0, { timeout: 60_000, what: 'no mail' });
  assert.deepEqual({ messages: sink.messages, duplicates: sink.duplicates }, count);
});
