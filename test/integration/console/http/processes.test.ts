import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { OverviewReply } from '#services/console/schemas/overview.ts';
import { SERVICES } from '#services/topology.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { SEALPOST, sealpost } from '#test/kit/command.ts';
import { ConsoleClient } from '#test/kit/console/client.ts';
import { ConsoleSite, PASSWORD } from '#test/kit/console/site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The console as a process of its own, on a bus where each service has its user. */

test('a console beside the other services: everybody signs in, and its user may do what the overview needs', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using site = await ConsoleSite.start({ bus: guarded, services: SERVICES });
  using alice = await site.person('alice');

  const overview = async (): Promise<OverviewReply['now']> =>
    ((await alice.get('/api/overview')).json as OverviewReply).now;
  const now = await waitFor(
    async () => {
      const one = await overview();
      return one.examined === undefined ? undefined : one;
    },
    { timeout: 60_000, what: 'the cluster to be examined' },
  );
  const processes = now.nodes.flatMap((node) => node.processes);
  assert.deepEqual(processes.flatMap(({ services }) => services).toSorted(), [...SERVICES].toSorted());
  assert.deepEqual(new Set(processes.map(({ state }) => state)), new Set(['up']));
  assert.deepEqual(
    now.alarms.filter(({ check }) => check.endsWith('-failed')),
    [],
  );
  assert.match(await site.node.report('status'), /console +answers +https:\/\/localhost:\d+, 1 session/);

  // For the operator, and in the container of the console, which has no other user.
  const { user, password } = guarded.login('console');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const own = await sealpost(['console', 'link', '--config', site.node.configFile], { cwd: site.node.folder, env });
  for (const printed of [await site.node.sealpost('console', 'link'), own.stdout]) {
    using browser = site.client();
    const { status, text } = await browser.signIn({ link: printed.split('\n', 1)[0] ?? '' });
    assert.equal(status, 200, `${text} ${own.stderr}`);
  }

  // Nobody is signed in while nobody can look at passwords; whoever is goes on.
  await site.node.programs.get('policy')?.stop();
  using late = site.client();
  const answer = await late.signIn({ user: 'alice', password: PASSWORD });
  assert.equal(answer.status, 503, answer.text);
  assert.equal((await alice.get('/api/session')).status, 200);

  for (const [name, program] of site.node.programs) assert.doesNotMatch(program.output, /NATS permits/, name);
  assert.doesNotMatch(guarded.server.output, /Violation/);
});

test('a console without its section waits for it, is well, and opens when it is there', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using node = await SealpostNode.create({ bus: guarded });
  const socket = join(node.folder, 'health.sock');
  const { user, password } = guarded.login('console');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const args = ['start', 'console', '--health', socket, '--config', node.configFile];
  await using console = new Program(SEALPOST, args, { cwd: node.folder, env });
  await console.waitForOutput(/no section console: add [^"]*"console: \{\}/);
  await console.waitForOutput(/"node is up"/, 60_000);
  const waiting = await sealpost(['health', socket], { cwd: node.folder });
  assert.deepEqual([waiting.code, waiting.stderr], [0, '']);
  assert.match(waiting.stdout, /^console of edge-1: well\nconsole: no section console: add "console: \{\}"/);
  const link = ['console', 'link', '--config', node.configFile];
  const refused = await sealpost(link, { cwd: node.folder, env });
  assert.match(refused.stderr, /the console is closed: no section console: add/);

  const port = await freePort();
  const section = `\nconsole: { port: ${port}, origin: "https://localhost:${port}" }\n`;
  await appendFile(node.configFile, section);
  process.kill(console.pid, 'SIGHUP');
  await console.waitForOutput(/the console is open/);
  assert.equal((await sealpost(['health', socket], { cwd: node.folder })).stdout, 'console of edge-1: well\n');
  const made = await sealpost(link, { cwd: node.folder, env });
  using browser = new ConsoleClient(port);
  assert.equal((await browser.signIn({ link: made.stdout.split('\n', 1)[0] ?? '' })).status, 200, made.stderr);

  const text = await readFile(node.configFile, 'utf8');
  await writeFile(node.configFile, text.replace(section, '\n'));
  await waitFor(
    async () => (await sealpost(['health', socket], { cwd: node.folder })).stdout.includes('no section console'),
    {
      what: 'the console to wait again',
    },
  );
});
