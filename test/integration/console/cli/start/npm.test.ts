import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A supervisor that runs npm or npx signals that process alone: the node must end too. */

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));

for (const { command, words, signal, exit } of [
  // npm passes the signal on, waits for the graceful stop and ends as the node does.
  { command: 'npm', words: ['start', '--'], signal: 'SIGTERM', exit: 0 },
  { command: 'npm', words: ['run', 'sealpost', '--', 'start'], signal: 'SIGINT', exit: 0 },
  // These end npm before the node; the node follows.
  { command: 'npm', words: ['start', '--'], signal: 'SIGHUP', exit: 'SIGHUP' },
  { command: 'npx', words: ['sealpost', 'start'], signal: 'SIGTERM', exit: 'SIGTERM' },
] as const) {
  test(`${signal} to ${command} ${words.join(' ')} leaves no node behind`, async () => {
    await using node = await SealpostNode.create();
    await using program = run(command, words, node);
    await using _left = { [Symbol.asyncDispose]: () => killAll(node.configFile) };
    await program.waitForOutput(/"node is up"/, 60_000);
    assert.ok((await processesOf(node.configFile)).length > 0);

    process.kill(program.pid, signal);
    await waitFor(() => program.exit !== undefined, { what: `${command} to end` });
    assert.equal(program.exit, exit);
    await waitFor(async () => (await processesOf(node.configFile)).length === 0, { what: 'the node to end' });
    await program.ended();
    assert.match(program.output, /"msg":"stopped"/);
  });
}

test('npx that ends in the middle of a start leaves no node behind', async () => {
  // A NATS server that says nothing: the start waits for it.
  const greetings = Promise.withResolvers<void>();
  await using silent = createServer(() => greetings.resolve()).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  await using node = await SealpostNode.create({ config: `bus: { servers: ["nats://127.0.0.1:${port}"] }` });
  await using program = run('npx', ['sealpost', 'start'], node);
  await using _left = { [Symbol.asyncDispose]: () => killAll(node.configFile) };
  await greetings.promise;

  process.kill(program.pid, 'SIGTERM');
  await waitFor(() => program.exit !== undefined, { what: 'npx to end' });
  await waitFor(() => /"node is up"/.test(program.output), { what: 'the node to be up', timeout: 30_000 });
  await waitFor(async () => (await processesOf(node.configFile)).length === 0, { what: 'the node to end' });
  await program.ended();
  assert.match(program.output, /"orphaned":true/);
});

/** Dispose what kills what is left first: npm's output ends when the last process that holds it does. */
function run(command: string, words: readonly string[], node: SealpostNode): Program {
  return new Program(command, [...words, '--config', node.configFile], {
    cwd: ROOT,
    // npx links the package into its cache; nothing comes from a registry.
    env: { npm_config_cache: `${node.folder}/npm`, npm_config_offline: 'true' },
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
