import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A supervisor that runs npm or npx signals that process alone: the node must end too. */

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));

for (const { command, words, signal, exit, after = /"node is up"/ } of [
  // npm passes the signal on, waits for the graceful stop and ends as the node does.
  { command: 'npm', words: ['start', '--'], signal: 'SIGTERM', exit: 0 },
  { command: 'npm', words: ['run', 'sealpost', '--', 'start'], signal: 'SIGINT', exit: 0 },
  // These end npm before the node; the node follows.
  { command: 'npm', words: ['start', '--'], signal: 'SIGHUP', exit: 'SIGHUP' },
  { command: 'npx', words: ['sealpost', 'start'], signal: 'SIGTERM', exit: 'SIGTERM' },
  // In the middle of the start.
  { command: 'npx', words: ['sealpost', 'start'], signal: 'SIGTERM', exit: 'SIGTERM', after: /"queue read"/ },
] as { command: string; words: string[]; signal: NodeJS.Signals; exit: unknown; after?: RegExp }[]) {
  test(`${signal} to ${command} ${words.join(' ')} after ${after} leaves no node behind`, async () => {
    await using node = await SealpostNode.create();
    await using program = new Program(command, [...words, '--config', node.configFile], {
      cwd: ROOT,
      // npx links the package into its cache; nothing comes from a registry.
      env: { npm_config_cache: `${node.folder}/npm`, npm_config_offline: 'true' },
    });
    // Disposed first: npm's output ends when the last process that holds it does.
    await using _left = { [Symbol.asyncDispose]: () => killAll(node.configFile) };
    await program.waitForOutput(after, 30_000);
    assert.ok((await processesOf(node.configFile)).length > 0);

    process.kill(program.pid, signal);
    await waitFor(() => program.exit !== undefined, { what: `${command} to end` });
    assert.equal(program.exit, exit);
    await waitFor(async () => (await processesOf(node.configFile)).length === 0, { what: 'the node to end' });
    await program.ended();
    assert.match(program.output, /"msg":"stopped"/);
  });
}

/** Ids of the processes whose command line names the file. */
async function processesOf(file: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    ids.map(async (id) => {
      // One that has ended meanwhile has none.
      const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
      return line.split('\0').includes(file) ? [id] : [];
    }),
  );
  return found.flat();
}

async function killAll(file: string): Promise<void> {
  for (const id of await processesOf(file)) process.kill(id, 'SIGKILL');
}
