import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What does not fit together in a cluster is told by `cluster status`, `doctor` and health, with the reason. */

type Finding = { check: string; about: string; text: string; help: string };

/** What a command finds at a node. */
async function found(node: SealpostNode, ...command: string[]): Promise<Finding[]> {
  return (JSON.parse(await node.report(...command, '--json')) as { findings: Finding[] }).findings;
}

/** Wait until both commands at a node find this. */
async function bothFind(node: SealpostNode, check: string, about: string, text: RegExp): Promise<void> {
  for (const command of [['cluster', 'status'], ['doctor']]) {
    let last: Finding[] = [];
    const isFound = async (): Promise<boolean> => {
      last = await found(node, ...command);
      return last.some((one) => one.check === check && one.about === about && text.test(`${one.text}. ${one.help}`));
    };
    await waitFor(isFound, { timeout: 40_000, what: `${command.join(' ')} to find ${check}` }).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}`);
    });
  }
}

async function neitherFinds(node: SealpostNode, check: string): Promise<void> {
  for (const command of [['cluster', 'status'], ['doctor']]) {
    await waitFor(async () => (await found(node, ...command)).every((one) => one.check !== check), {
      timeout: 40_000,
      what: `${command.join(' ')} to find no ${check} any more`,
    });
  }
}

const health = (node: SealpostNode, socket: string): Promise<CommandResult> =>
  sealpost(['health', join(node.folder, socket)], { cwd: node.folder });

test('permissions on the bus that are older than the contracts', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  const file = join(guarded.server.folder, 'nats.conf');
  const permitted = await readFile(file, 'utf8');
  const former = permitted.replace(/^.*\.router\.message-place.*\n/gm, '');
  assert.notEqual(former, permitted);
  await writeFile(file, former);
  guarded.server.reload();
  await waitFor(() => /Reloaded server configuration/.test(guarded.server.output), { what: 'the reload' });

  await using node = await SealpostNode.create({ bus: guarded });
  await node.start('credential-store');
  const router = node.launch('router', '--health', 'router.sock');
  await router.waitForOutput(/"node is up"/, 60_000);
  const text =
    /not permit its router to hear sealpost\.v1\.router\.message-place, last .* older than this version.*SIGHUP/;
  await bothFind(node, 'bus-denied', 'node edge-1', text);
  const ill = await health(node, 'router.sock');
  assert.equal(ill.code, 1);
  assert.match(
    ill.stdout,
    /^NATS does not permit subscription on sealpost\.v1\.router\.message-place: .*cluster init/m,
  );

  // What runs goes on with the new permissions, and is not started again for it.
  await writeFile(file, permitted);
  guarded.server.reload();
  await neitherFinds(node, 'bus-denied');
  assert.equal((await health(node, 'router.sock')).code, 0);
});

test('a credential-store without the NEK of the others', {
  ...needs('nats-server'),
  timeout: 240_000,
}, async () => {
  await using guarded = await startGuardedServer();
  const nek = generateNek('edge');
  await using one = await SealpostNode.create({ bus: guarded, nek });
  await one.start('credential-store');
  await one.sealpost('keymgmt', 'create', 'credstore', 'edge');

  await using two = await SealpostNode.create({ name: 'edge-2', bus: guarded, nek: generateNek('other') });
  const file = join(two.folder, 'nek.key');
  const own = await readFile(file, 'utf8');
  const foreign = two.launch('credential-store');
  assert.notEqual(await foreign.ended(), 0);
  await bothFind(one, 'start-failed', 'node edge-2', /credential-store could not start .* ago: .*NEK/);
  const { stdout } = await sealpost(['cluster', 'status', '--config', one.configFile], {
    cwd: one.folder,
    env: { BUS_USER: 'operator', BUS_PASSWORD: guarded.login('operator').password.reveal() },
  });
  assert.match(stdout, /^edge-2 +credential-store +\S+ +failed /m);

  await rm(file);
  const without = two.launch('credential-store');
  assert.notEqual(await without.ended(), 0);
  await bothFind(one, 'start-failed', 'node edge-2', /could not start .* ago: .*nek\.key/);

  await writeFile(file, nek, { mode: 0o600 });
  const right = two.launch('credential-store', '--health', 'store.sock');
  await right.waitForOutput(/"node is up"/, 60_000);
  await neitherFinds(one, 'start-failed');
  await waitFor(async () => (await health(two, 'store.sock')).code === 0, { timeout: 20_000, what: 'it to be well' });

  // The file is exchanged while it runs.
  await writeFile(file, own, { mode: 0o600 });
  await bothFind(one, 'nek-missing', 'NEK edge', /missing in credentials\.nek of edge-2/);
  const lacking = await health(two, 'store.sock');
  assert.equal(lacking.code, 1);
  assert.match(
    lacking.stdout,
    /^credential-store: credentials\.nek lacks NEK edge \([0-9a-f]{16}\), which the cluster uses/m,
  );
  await rm(file);
  await waitFor(async () => /its NEK cannot be read: .*nek\.key/.test((await health(two, 'store.sock')).stdout), {
    timeout: 20_000,
    what: 'health to say why',
  });
});
