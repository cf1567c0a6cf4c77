import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { Secret } from '#shared/secret.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Guesses from one network at the listeners of three nodes, which share a nats-server with users. The listeners take the
 * PROXY protocol from this machine, so that a client can come from any network.
 */

const TRIES = 6;
const DELAY_MS = 200;

type Outcome = { code: number; ms: number };

/** One log-in in a session of its own; resolves to its reply and how long that took. */
async function logIn(node: SealpostNode, from: string, user: string, password: string): Promise<Outcome> {
  await using client = await Dialog.connect(node.port, { timeout: 20_000 });
  client.send(`PROXY TCP4 ${from} 127.0.0.1 40000 587\r\n`);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  const began = performance.now();
  const { code } = await client.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`);
  return { code, ms: performance.now() - began };
}

type Listed = { user?: string; network?: string; failures: number; limit: string; opensMs: number; nodes: string[] };

async function locks(node: SealpostNode): Promise<Listed[]> {
  return (JSON.parse(await node.sealpost('locks', 'list', '--json')) as { locks: Listed[] }).locks;
}

test('guesses from one network at three nodes are slowed and locked; users elsewhere, and beside it, are not', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async (t) => {
  await using guarded = await startGuardedServer();
  await using temp = await tempDir('users');
  const users = join(temp.path, 'users.yaml');
  for (const name of ['alice', 'bob']) {
    await addUser(users, { name, password: new Secret('right'), addresses: [`${name}@example.com`] });
  }
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const nodes: SealpostNode[] = [];
  for (const [i, port] of (await freePorts(3)).entries()) {
    const listener = `{ name: submission, kind: submission, address: 127.0.0.1, port: ${port}, tls: none, auth: always, proxy: [127.0.0.1] }`;
    const config = [
      `listeners: [${listener}]`,
      `directory: { users: ${users} }`,
      `authentication: { limits: { user-from-network: ${TRIES}/15m }, delay: ${DELAY_MS}ms }`,
      // Nothing answers there: the clients have no names.
      'dns: { servers: ["127.0.0.1:1"], timeout: 100ms }',
    ].join('\n');
    nodes.push(undo.use(await SealpostNode.create({ name: `edge-${i + 1}`, nek, port, bus: guarded, config })));
  }
  await Promise.all(nodes.map((node) => node.start()));
  const [first, second, third] = nodes;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);

  await t.test('each guess takes longer than the one before, at whatever node', async () => {
    for (let i = 0; i < TRIES; i++) {
      const { code, ms } = await logIn(nodes[i % 3] ?? first, `192.0.2.${10 + i}`, 'alice', `guess ${i}`);
      assert.equal(code, 535, `guess ${i + 1}`);
      const least = DELAY_MS * Math.max(1, (5 * (i + 1)) / TRIES);
      // A count goes down a little meanwhile.
      assert.ok(ms >= least * 0.95, `guess ${i + 1} took ${ms} ms, not ${least}`);
    }
  });

  await t.test('then no password is looked at from there, at every node', async () => {
    for (const node of nodes) {
      const locked = async () => (await logIn(node, '192.0.2.99', 'alice', 'right')).code === 454;
      // The last guess is told to the others within a moment; the right password may pass until then.
      await waitFor(locked, { what: `the lock at ${node.name}`, timeout: 20_000 });
    }
  });

  await t.test('the same user logs in from elsewhere, and others from the same network', async () => {
    for (const node of nodes) {
      assert.equal((await logIn(node, '203.0.113.5', 'alice', 'right')).code, 235);
      assert.equal((await logIn(node, '192.0.2.10', 'bob', 'right')).code, 235);
      assert.equal((await logIn(node, '192.0.2.10', 'alice', 'right')).code, 454);
    }
  });

  await t.test('locks list shows it on every node, for people too', async () => {
    for (const node of nodes) {
      const [lock, ...more] = await locks(node);
      assert.ok(lock !== undefined);
      assert.deepEqual(more, []);
      const { opensMs, ...rest } = lock;
      const all = ['edge-1', 'edge-2', 'edge-3'];
      assert.deepEqual(rest, { user: 'alice', network: '192.0.2.0/24', failures: TRIES, limit: '6/15m', nodes: all });
      assert.ok(opensMs > 0 && opensMs < 30 * 60_000, `${opensMs} ms`);
    }
    const text = await second.sealpost('locks', 'list', '--user', 'Alice');
    assert.match(
      text,
      /^USER +NETWORK +FAILURES +LIMIT +OPENS IN +NODES\nalice +192\.0\.2\.0\/24 +6 +6\/15m +\S.*? +all\n$/,
    );
    assert.equal(await second.sealpost('locks', 'list', '--network', '203.0.113.5'), 'no locks\n');
    await assert.rejects(second.sealpost('locks', 'lift'), /name what to open/);
    await assert.rejects(second.sealpost('locks', 'list', '--network', 'office'), /"office" is not an IP address/);
  });

  await t.test('locks lift opens it at all nodes, for good, also at one that is killed and comes back', async () => {
    await first.programs.get('all')?.kill();
    const text = await third
      .sealpost('locks', 'lift', '--user', 'alice', '--network', '192.0.2.10')
      .catch((error: { stdout: string; stderr: string }) => error.stdout + error.stderr);
    assert.match(text, /lifted 1 on edge-2, edge-3/);
    await first.start();
    for (const node of nodes) assert.equal((await logIn(node, '192.0.2.10', 'alice', 'right')).code, 235, node.name);
    assert.deepEqual(await locks(first), []);
    // The others miss the process that was killed until they have not heard it for a while.
    const lifted = await waitFor(() => second.sealpost('locks', 'lift', '--all').catch(() => undefined), {
      what: 'every process to answer',
      timeout: 30_000,
    });
    assert.equal(lifted, 'nothing was locked; failures count from nothing again on edge-1, edge-2, edge-3\n');
  });

  for (const node of nodes) {
    const output = [...node.programs.values()].map((program) => program.output).join('');
    assert.doesNotMatch(output, /NATS permits/, node.name);
  }
  assert.match(second.programs.get('all')?.output ?? '', /"Locks of log-ins lifted by an operator"/);
  assert.doesNotMatch(guarded.server.output, /Violation/);
});
