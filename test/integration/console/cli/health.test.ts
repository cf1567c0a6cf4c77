import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SEALPOST } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';

type Outcome = { code: number; stdout: string; stderr: string };

function health(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(SEALPOST, ['health', ...args], (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
}

test('sealpost health: well, not answering, and what is no socket', async () => {
  await using node = await SealpostNode.create();
  const socket = join(node.folder, 'health.sock');
  const { code, stderr } = await health(socket);
  assert.equal(code, 3);
  assert.match(stderr, /no process answers at the health socket .*ENOENT/);

  await using program = new Program(SEALPOST, ['start', '--health', socket, '--config', node.configFile]);
  await program.waitForOutput(/"node is up"/, 60_000);
  const well = await health(socket);
  assert.deepEqual([well.code, well.stderr], [0, '']);
  assert.match(well.stdout, /^credential-store, signer, policy, router, listener of edge-1: well$/m);
  const json = JSON.parse((await health(socket, '--json')).stdout) as { node: string; problems: string[] };
  assert.deepEqual([json.node, json.problems], ['edge-1', []]);

  await program.pause();
  const frozen = await health(socket);
  program.resume();
  assert.equal(frozen.code, 3);
  assert.match(frozen.stderr, /no answer within 5 s/);
  assert.equal((await health('--help')).code, 0);
});

test('a health check loads nothing of the command line, which would cost a second of processor time', () => {
  const file = join(import.meta.dirname, '../../../../services/console/cli/start/health-check.ts');
  const imports = [...readFileSync(file, 'utf8').matchAll(/from '([^']+)'/g)].map(([, name]) => name);
  assert.ok(imports.length > 0);
  assert.deepEqual(
    imports.filter((name) => !name?.startsWith('node:')),
    [],
  );
});
