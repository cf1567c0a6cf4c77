import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { lacksCommit } from '#test/kit/containers/history.ts';
import { docker, needsEngine } from '#test/kit/nodes/compose.ts';
import { ComposeSite } from '#test/kit/nodes/compose-site.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { longestPause } from '#test/kit/smtp/longest-pause.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * cluster/compose/upgrade.sh: a cluster that the compose.yaml of the version before made goes over to this one under
 * load. That version is the commit FORMER, or what UPGRADE_FROM names.
 */
const FORMER = process.env['UPGRADE_FROM'] ?? '3ff8152';
const ROOT = resolve(import.meta.dirname, '../../..');
/** Without a 250: two listeners would be needed for none, and the load has the ports of one. */
const MOST_MS = 15_000;

const { skip } = needsEngine();

test('a cluster of the version before is upgraded under load: nothing is lost, and mail hardly waits', {
  skip: skip === false ? lacksCommit(FORMER) : skip,
  timeout: 20 * 60_000,
}, async (t) => {
  await using former = await tempDir('former');
  execFileSync('sh', ['-c', `git archive ${FORMER} | tar -x -C ${former.path}`], { cwd: ROOT });
  await using site = await ComposeSite.create(former.path);
  const before = site.project;
  await before.compose('up', '--detach');
  const services = ['listener', 'policy', 'signer', 'router-1', 'router-2', 'credential-store-1', 'credential-store-2'];
  await before.healthy(services);
  await before.operator('keys', 'create', 'sealpost.test', 's1');
  await waitFor(async () => / active /.test(await before.operator('keys', 'list')), {
    what: 'the key',
    timeout: 30_000,
  });

  const [port = 0] = before.ports.get(2525) ?? [];
  const from = { from: 'alice@sealpost.test', to: 'somebody@dest.test' };
  const load = new Load('upgrade', {
    port,
    sessions: 4,
    rate: 30,
    sizes: [500, 4000, 60_000],
    patience: 30_000,
    ...from,
  });
  load.start();
  await waitFor(() => load.accepted.size > 50, { what: 'mail', timeout: 60_000 });
  const project = before.ofThisVersion();
  const upgrade = project.upgrade();
  const longest = await longestPause(load, upgrade);
  t.diagnostic(
    (await upgrade)
      .split('\n')
      .filter((line) => line.startsWith('upgrade:'))
      .join('; '),
  );
  t.diagnostic(`longest time without a 250: ${(longest / 1000).toFixed(1)} s; refused ${[...load.refused].join(' ')}`);

  const image = (await docker('image', 'inspect', '--format', '{{.Id}}', project.image)).trim();
  for (const service of services) {
    const containers = await project.containers(service);
    assert.equal(containers.length, 1, service);
    assert.equal((await docker('inspect', '--format', '{{.Image}}', ...containers)).trim(), image, service);
  }
  await project.healthy(services);
  assert.match(await project.operator('keys', 'list'), / s1 .* active /);
  const { ok, findings } = JSON.parse(
    await waitFor(async () => project.operator('cluster', 'status', '--json'), { what: 'agreement', timeout: 60_000 }),
  ) as { ok: boolean; findings: unknown[] };
  assert.ok(ok, JSON.stringify(findings));
  const accepted = load.accepted.size;
  await waitFor(() => load.accepted.size > accepted + 50, { what: 'mail after it', timeout: 60_000 });
  await load.stop();
  await project.operator('queue', 'retry', '--all', '--yes');
  const missing = async (): Promise<string[]> => {
    const { arrivals } = await site.arrived();
    return [...load.accepted].filter((id) => !arrivals.has(id));
  };
  await waitFor(async () => (await missing()).length === 0, { what: 'all mail', timeout: 90_000 });
  const { signatures } = await site.arrived();
  assert.deepEqual(
    signatures.map(([fields]) => fields),
    [1],
    'all of it signed',
  );
  assert.deepEqual(
    [...load.refused.keys()].filter((reply) => !reply.startsWith('4')),
    [],
  );
  assert.ok(longest <= MOST_MS, `${Math.round(longest)} ms without a 250`);
});
