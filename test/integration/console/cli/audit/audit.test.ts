import assert from 'node:assert/strict';
import { hostname, userInfo } from 'node:os';
import { test } from 'node:test';
import type { AuditEntry } from '#shared/audit/entry.ts';
import { sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';

/** `sealpost audit`: what people changed with the command line is in it, whoever carried it out. */

test('changes are in the audit log, with who made them and how they ended', { timeout: 90_000 }, async () => {
  await using node = await SealpostNode.create({ sink: 1 });
  await node.start();
  const run = (...args: string[]) => sealpost([...args, '--config', node.configFile], { cwd: node.folder });
  const password = 'a password that is nowhere to be seen';
  await node.createKey('example.com', 's1');
  assert.equal((await run('keys', 'create', 'example.com', 's1')).code, 1);
  const added = await sealpost(
    ['users', 'add', 'alice', '--address', 'alice@example.com', '--password-stdin', '--config', node.configFile],
    { cwd: node.folder, input: password },
  );
  assert.equal(added.code, 0, added.stderr);
  assert.equal((await run('queue', 'hold', '--all', '--yes')).code, 0);
  assert.equal((await run('queue', 'hold', '--all', '--dry-run')).code, 0);
  assert.equal((await run('locks', 'lift', '--all')).code, 0);
  assert.equal((await run('keys', 'list')).code, 0);

  const { stdout } = await run('audit', '--json');
  const { entries } = JSON.parse(stdout) as { entries: AuditEntry[] };
  const by = `${userInfo().username} on ${hostname()}`;
  assert.deepEqual(
    entries.map((one) => [one.by, one.node, one.service, one.operation, one.about, one.outcome]),
    [
      [by, 'edge-1', 'policy', 'lock-lift', 'all', 'done'],
      [by, 'edge-1', 'router', 'queue-change', 'hold: all mail', 'done'],
      [by, 'edge-1', 'credential-store', 'user-create', 'alice', 'done'],
      [by, 'edge-1', 'credential-store', 'key-create', 's1 of example.com', 'exists'],
      [by, 'edge-1', 'credential-store', 'key-create', 's1 of example.com', 'done'],
    ],
  );
  const log = [...node.programs.values()].map((program) => program.output).join('');
  assert.match(log, /"audit":\{"by":".*","operation":"key-create","about":"s1 of example\.com","outcome":"exists"\}/);
  for (const text of [stdout, log]) assert.ok(!text.includes(password));

  const table = await run('audit', '--about', 'key-create', '--by', userInfo().username);
  assert.match(table.stdout, /^WHEN +BY +NODE +CHANGE +ABOUT +OUTCOME\n.* key-create +s1 of example\.com +exists\n/);
  assert.equal((await run('audit', '--about', 'nothing of this')).stdout, 'no changes\n');
  assert.match((await run('audit', '--limit', '1')).stdout, /lock-lift[\s\S]*and older ones/);
  assert.equal((await run('audit', '--since', 'yesterday')).code, 2);
});
