import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Commands where each service is a process with a user of the bus and files of its own, as under compose: what an operator
 * who has no NEK and no disk of a router can do, and what is to be done where the NEK is.
 */
test('services apart: a key is exported where its NEK is, captured mail is looked at from anywhere', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using node = await SealpostNode.create({ bus: guarded, config: 'routes: [{ to: "*", via: capture }]' });
  for (const service of ['credential-store', 'signer', 'policy', 'router', 'listener']) await node.start(service);
  await node.createKey('example.com', 's1');

  // The machine of the operator has neither the NEK nor the data of a service.
  const folder = join(node.folder, 'operator');
  await mkdir(folder);
  const bus = `{ servers: ["${guarded.server.url}"], user: { env: BUS_USER }, password: { env: BUS_PASSWORD } }`;
  const text = `node: { name: operator, data: ./data }\ncredentials: { nek: ./nek.key }\nlisteners: []\nbus: ${bus}\n`;
  await writeFile(join(folder, 'sealpost.yaml'), text);
  const run = (user: BusUser, cwd: string, ...args: string[]): Promise<CommandResult> => {
    const { password } = guarded.login(user);
    return sealpost(args, { cwd, env: { BUS_USER: user, BUS_PASSWORD: password.reveal() } });
  };

  const refused = await run('operator', folder, 'keys', 'export', 'example.com', 's1', '--out', '-');
  assert.equal(refused.code, 1);
  assert.equal(refused.stdout, '');
  assert.match(refused.stderr, /here is none \(.*nek\.key.*\): run this where a credential-store runs/);

  const exported = await run('credential-store', node.folder, 'keys', 'export', 'example.com', 's1', '--out', '-');
  assert.equal(exported.code, 0, exported.stderr);
  const spki = createPublicKey(createPrivateKey(exported.stdout)).export({ type: 'spki', format: 'der' });
  const { keys } = JSON.parse((await run('operator', folder, 'keys', 'list', '--json')).stdout) as {
    keys: KeyStatus[];
  };
  assert.equal(keys[0]?.publicKey, spki.toString('base64'));
  assert.match((await run('operator', folder, 'capture', 'list')).stdout, /^nothing was captured yet\n$/);
  await using load = new Load('capture', { port: node.port, sessions: 1, sizes: [500] });
  load.start();
  await waitFor(() => load.accepted.size > 0, { what: 'a message to be accepted' });
  await load.stop();
  const list = async (): Promise<string> => (await run('operator', folder, 'capture', 'list')).stdout;
  await waitFor(async () => /\n1 +\S+ +edge-1 /.test(await list()), { what: 'the mail to be captured' });
  const shown = await run('operator', folder, 'capture', 'show');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /\nDKIM pass: rsa-sha256, d=example\.com s=s1, key from this node\n/);
  // NATS was asked for nothing that it refuses.
  assert.doesNotMatch(guarded.server.output, /Violation/i);
});
