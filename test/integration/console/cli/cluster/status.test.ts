import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { Cable } from '#test/kit/bus/cable.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

type Status = {
  ok: boolean;
  node: string;
  away?: number;
  processes: { node: string; state: string; services: string[]; heard: number; roundTrip?: number }[];
  findings: { check: string; about: string; text: string }[];
};

const run = (node: SealpostNode, ...args: string[]): Promise<CommandResult> =>
  sealpost(['cluster', 'status', '--config', node.configFile, ...args], { cwd: node.folder });

async function statusOf(node: SealpostNode): Promise<{ code: number | null; status: Status }> {
  const { code, stdout } = await run(node, '--json');
  return { code, status: JSON.parse(stdout) as Status };
}

/** Wait until the status at a node shows these checks, and each node in its state. */
async function shows(node: SealpostNode, checks: string[], states: Record<string, string>): Promise<Status> {
  let last: Status | undefined;
  const seen = async () => {
    const { code, status } = await statusOf(node);
    last = status;
    assert.equal(code, checks.length === 0 ? 0 : 1);
    assert.deepEqual([...new Set(status.findings.map((f) => f.check))], checks);
    assert.deepEqual(Object.fromEntries(status.processes.map((p) => [p.node, p.state])), states);
    return status;
  };
  try {
    return await waitFor(seen, { timeout: 30_000, what: `status ${checks}` });
  } catch (error) {
    throw new Error(`the last status was ${JSON.stringify(last)}`, { cause: error });
  }
}

test('cluster status: all agree, a configuration that differs, a node that dies, a node that is cut off', {
  ...needs('nats-server'),
  timeout: 180_000,
}, async () => {
  await using nats = await startNatsServer({ jetStream: true });
  const nek = generateNek('status');
  await using cable = await Cable.start(nats.port);
  const config = (url: string) => `bus: { servers: ["${url}"] }`;
  await using one = await SealpostNode.create({ name: 'edge-1', nek, config: config(cable.url) });
  await using two = await SealpostNode.create({ name: 'edge-2', nek, config: config(nats.url) });
  await Promise.all([one.start(), two.start('listener', 'policy', 'router')]);
  const agreed = await shows(one, [], { 'edge-1': 'up', 'edge-2': 'up' });
  assert.equal(agreed.node, 'edge-1');
  for (const { roundTrip } of agreed.processes) assert.ok(roundTrip !== undefined && roundTrip < 3000);
  const { stdout } = await run(one);
  assert.match(stdout, /^NODE +SERVICES +VERSION +STATE +HEARD +ROUND TRIP +CLOCK +QUEUE +COPIES +KEYS\n/);
  assert.match(stdout, /\nedge-1 +all +0\.1\.0 +up +now +\d+\.\d ms +[+-]?\d+ ms +0 +0 out, 0 in +current\n/);
  assert.match(
    stdout,
    /\nedge-2 +policy, router, listener +0\.1\.0 +up +now +\d+\.\d ms +[+-]?\d+ ms +0 +0 out, 0 in +-\n/,
  );
  assert.match(stdout, /\n2 processes: all agree\n$/);

  const text = await readFile(two.configFile, 'utf8');
  await writeFile(two.configFile, text.replace('name: example.com', 'name: other.example'));
  const differs = await shows(one, ['config-differs'], { 'edge-1': 'up', 'edge-2': 'up' });
  assert.match(differs.findings[0]?.about ?? '', /"domains"/);
  await writeFile(two.configFile, text);
  await shows(one, [], { 'edge-1': 'up', 'edge-2': 'up' });

  // A change that is refused: the process goes on as before, and whoever asks hears of it.
  await writeFile(two.configFile, `${text}\nlimits: { sessions: many }\n`);
  const refused = await shows(one, ['config-refused'], { 'edge-1': 'up', 'edge-2': 'up' });
  assert.match(refused.findings[0]?.text ?? '', /refused a change .* limits\.sessions: expected a number/);
  // The process that doctor asks hears of it with the next heartbeat.
  const doctor = async (): Promise<boolean> => {
    const { stdout } = await sealpost(['doctor', '--json', '--config', one.configFile], { cwd: one.folder });
    return (JSON.parse(stdout) as Status).findings.some(({ check }) => check === 'config-refused');
  };
  await waitFor(doctor, { what: 'doctor to say so', timeout: 20_000 });
  await writeFile(two.configFile, text);
  await shows(one, [], { 'edge-1': 'up', 'edge-2': 'up' });

  await two.programs.get('listener+policy+router')?.kill();
  await shows(two, ['gone'], { 'edge-1': 'up', 'edge-2': 'gone' });
  const forget = (name: string, ...options: string[]) =>
    sealpost(['cluster', 'forget', name, '--config', one.configFile, ...options], { cwd: one.folder });
  assert.match((await forget('edge-1')).stderr, /node edge-1 is up/);
  assert.match((await forget('edge-9')).stderr, /no node edge-9 is known/);
  assert.match((await forget('edge-2', '--delete-copies')).stdout, /edge-2 is forgotten.*; 0 void copies .* deleted/);
  await shows(one, [], { 'edge-1': 'up' });
  await two.start('listener', 'policy', 'router');
  await shows(two, [], { 'edge-1': 'up', 'edge-2': 'up' });

  // A cable is pulled: each side tells what it knows of the other.
  cable.silence();
  const cut = await shows(one, ['bus-away', 'keys-behind'], { 'edge-1': 'up', 'edge-2': 'unknown' });
  assert.ok((cut.away ?? 0) > 0);
  assert.match(cut.findings[0]?.text ?? '', /it last heard edge-2 \d+s ago/);
  assert.match((await run(one)).stderr, /NATS does not answer: this is from node edge-1 alone/);
  const rest = await shows(two, ['gone'], { 'edge-1': 'gone', 'edge-2': 'up' });
  assert.match(rest.findings[0]?.text ?? '', /nothing was heard of its credential-store, .* for \d+[ms]/);
  cable.cut();
  cable.mend();
  await shows(one, [], { 'edge-1': 'up', 'edge-2': 'up' });

  // A node in parts has nobody to ask when NATS is away.
  await nats.stop();
  assert.equal((await run(two)).code, 3);
});
