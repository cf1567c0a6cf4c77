import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SEALPOST } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The systemd unit: systemd understands it, and a node does nothing that it forbids. */

const UNIT = fileURLToPath(new URL('../../../../cluster/systemd/sealpost.service', import.meta.url));
const analyze = (...args: string[]) => promisify(execFile)(locate('systemd-analyze') ?? '', args);

/** The system calls of a group, and of the groups in it, on this machine. */
async function systemCalls(group: string): Promise<Set<string>> {
  const { stdout } = await analyze('syscall-filter');
  const groups = new Map<string, string[]>();
  let now: string[] = [];
  for (const line of stdout.split('\n').map((text) => text.replace(/\x1b\[[\d;]*m/g, ''))) {
    const word = line.trim();
    if (/^@/.test(line)) {
      now = [];
      groups.set(word, now);
    } else if (/^\s+[@\w]/.test(line)) now.push(word);
  }
  const seen = new Set<string>();
  const add = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const one of groups.get(name) ?? []) add(one);
  };
  add(group);
  return seen;
}

test(
  'systemd finds nothing wrong with the unit, and little that it leaves open',
  needs('systemd-analyze'),
  async () => {
    await using temp = await tempDir('unit');
    const file = join(temp.path, 'sealpost.service');
    // The program is not there where the tests run.
    await writeFile(file, (await readFile(UNIT, 'utf8')).replace('/usr/local/bin/sealpost', '/bin/true'));
    const { stdout, stderr } = await analyze('verify', file);
    assert.equal(stdout + stderr, '');
    // 0 is the best, 10 the worst.
    const { stdout: report } = await analyze('security', '--offline=yes', '--threshold=30', '--no-pager', file);
    assert.match(report, /Overall exposure level for sealpost\.service: [12]\.\d/);
  },
);

test('a node with mail makes no system call that the unit refuses', {
  ...needs('systemd-analyze', 'strace'),
  timeout: 120_000,
}, async () => {
  const [, group = ''] = /^SystemCallFilter=(@\S+)$/m.exec(await readFile(UNIT, 'utf8')) ?? [];
  const allowed = await systemCalls(group);
  assert.ok(allowed.has('read') && allowed.has('socket') && !allowed.has('reboot'));
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  const trace = join(node.folder, 'strace.txt');
  const command = [process.execPath, SEALPOST, 'start', '--config', node.configFile];
  await using traced = new Program('strace', ['-f', '-qq', '-c', '-o', trace, ...command], { cwd: node.folder });
  await traced.waitForOutput(/"node is up"/, 60_000);
  await node.createKey('example.com', 's1');
  await using load = new Load('strace', { port: node.port, sessions: 4, rate: 50 });
  load.start();
  await waitFor(() => sink.messages.length > 50, { timeout: 60_000, what: 'mail' });
  await load.stop();
  // strace writes its table when the node has ended.
  const children = await readFile(`/proc/${traced.pid}/task/${traced.pid}/children`, 'utf8');
  process.kill(Number(children.trim()), 'SIGTERM');
  assert.equal(await traced.ended(), 0);
  const rows = (await readFile(trace, 'utf8')).split('\n').filter((line) => /^ *\d+\.\d+ /.test(line));
  const made = rows.map((line) => line.trim().split(/ +/).at(-1) ?? '').filter((name) => name !== 'total');
  assert.ok(made.length > 30, `${made.length} system calls`);
  assert.deepEqual(
    made.filter((name) => !allowed.has(name)),
    [],
  );
});
