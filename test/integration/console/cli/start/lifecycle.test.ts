import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The life of a node's process, and the command line over NATS. */

test('SIGTERM stops a node gracefully, also one that clients are connected to', async () => {
  await using node = await SealpostNode.create();
  const program = await node.start();
  await using dialog = await Dialog.connect(node.port);
  await dialog.expect(220);
  program.signal('SIGTERM');
  assert.equal(await program.ended(), 0);
  assert.match(program.output, /"signal":"SIGTERM","msg":"stopping"[\s\S]*"msg":"stopped"/);
});

test('SIGHUP reads the configuration again; an invalid one is refused and the node goes on', async () => {
  await using node = await SealpostNode.create();
  const program = await node.start();
  const written = await readFile(node.configFile, 'utf8');
  program.signal('SIGHUP');
  await program.waitForOutput(/"changed":\[\],"msg":"configuration reloaded, nothing changed"/);
  await writeFile(node.configFile, `${written}\nlimits: { sessions: 0 }\n`);
  await program.waitForOutput(/limits\.sessions: must be at least 1, got 0.*"configuration change refused/);
  await writeFile(node.configFile, `${written}\nlimits: { sessions: 12 }\n`);
  await program.waitForOutput(/"changed":\["limits\.sessions"\],"msg":"configuration changed"/);
  await using dialog = await Dialog.connect(node.port);
  await dialog.expect(220);
});

test('a node that cannot start says why on one line and ends with 1, with nothing left behind', async () => {
  await using first = await SealpostNode.create();
  await first.start();
  await using second = await SealpostNode.create({ port: first.port });
  const program = second.launch();
  assert.equal(await program.ended(), 1);
  assert.match(program.output, new RegExp(`sealpost: .*port ${first.port}`));
  assert.doesNotMatch(program.output, /\n +at /);
});

test('without a bus one service alone is refused with what to do', async () => {
  await using node = await SealpostNode.create();
  const { code, stderr } = await sealpost(['start', 'listener', '--config', node.configFile], { cwd: node.folder });
  assert.equal(code, 1);
  assert.match(stderr, /all services must run in one process.*bus\.servers/);
});

test('an error that nobody caught is logged and ends the process', async () => {
  await using node = await SealpostNode.create({ environment: { NODE_OPTIONS: `--import=${SABOTAGE}` } });
  for (const [kind, event] of [
    ['throw', 'uncaughtException'],
    ['reject', 'unhandledRejection'],
  ] as const) {
    const program = await node.start();
    program.signal(kind === 'throw' ? 'SIGUSR2' : 'SIGWINCH');
    assert.equal(await program.ended(), 1);
    assert.match(program.output, new RegExp(`"level":"fatal".*sabotage.*"event":"${event}"`));
  }
});

test('a second signal ends a node that does not come to its end', async () => {
  const hang = `data:text/javascript,${encodeURIComponent('AsyncDisposableStack.prototype.disposeAsync = () => new Promise(() => {});')}`;
  await using node = await SealpostNode.create({ environment: { NODE_OPTIONS: `--import=${hang}` } });
  const program = await node.start();
  program.signal('SIGTERM');
  await program.waitForOutput(/"stopping"/);
  assert.equal(program.exit, undefined);
  program.signal('SIGINT');
  assert.equal(await program.ended(), 1);
  assert.match(program.output, /"signal":"SIGINT","msg":"stopped immediately"/);
});

/** Code that runs in the node before its own: two signals that break it. */
const SABOTAGE = `data:text/javascript,${encodeURIComponent(`
  process.on('SIGUSR2', () => { throw new Error('sabotage'); });
  process.on('SIGWINCH', () => { Promise.reject(new Error('sabotage')); });
`)}`;

test('over NATS the command line reaches services in other processes', needs('nats-server'), async () => {
  await using nats = await startNatsServer({ jetStream: true });
  await using node = await SealpostNode.create({ config: `bus: { servers: ["${nats.url}"] }` });
  const run = (...args: string[]) => sealpost([...args, '--config', node.configFile], { cwd: node.folder });

  const nobody = await run('queue', 'list');
  assert.equal(nobody.code, 3, nobody.stderr);
  await node.start('credential-store', 'signer');
  const partly = await run('status');
  assert.equal(partly.code, 1);
  assert.match(partly.stdout, /signer +answers/);
  assert.match(partly.stdout, /router +silent +not running/);

  await node.start('policy', 'router', 'listener');
  const created = await run('keys', 'create', 'example.com', 's1', 'ed25519');
  assert.equal(created.code, 0, created.stderr);
  await waitFor(async () => /signer +answers +1 key/.test((await run('status')).stdout), {
    what: 'the key at the signer',
  });
  assert.equal((await run('status')).code, 0);
  assert.match((await run('queue', 'list')).stdout, /no mail in the queue/);
  assert.equal((await run('queue', 'list', '--node', 'edge-2')).code, 3);

  await nats.stop();
  const away = await run('queue', 'list');
  assert.equal(away.code, 3);
  assert.match(away.stderr, new RegExp(`no NATS server answers at ${nats.url}`));
});
