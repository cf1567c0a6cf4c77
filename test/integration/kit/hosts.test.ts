import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DOMAIN, HostCluster } from '#test/kit/nodes/host-cluster.ts';
import { type Host, Hosts, needsHosts } from '#test/kit/nodes/hosts.ts';
import { waitFor } from '#test/kit/wait.ts';

const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

/** Whether a TCP connection comes about within a second. */
async function reaches(from: Host, address: string, port: number): Promise<boolean> {
  const script = `const s = require('net').connect(${port}, '${address}');
    s.setTimeout(1000, () => process.exit(1)); s.on('error', () => process.exit(1)); s.on('connect', () => process.exit(0));`;
  await using program = from.run(process.execPath, ['-e', script]);
  return (await program.ended()) === 0;
}

test('hosts reach each other over two networks, each link is cut by itself, and nothing stays behind', {
  ...needsHosts(),
}, async () => {
  const mine = new RegExp(`sealpost-test-${process.pid}-`);
  {
    using hosts = Hosts.make(2);
    const [one, two] = [hosts.host(1), hosts.host(2)];
    const listen = `require('net').createServer((s) => s.end()).listen(1234, () => console.log('ready'));`;
    await using server = one.run(process.execPath, ['-e', listen]);
    await server.waitForOutput(/ready/);
    const seen = async () => [
      await reaches(two, one.address('bus'), 1234),
      await reaches(two, one.address('mail'), 1234),
      await reaches(hosts.outside, one.address('mail'), 1234),
      await reaches(hosts.outside, one.address('bus'), 1234),
    ];
    assert.deepEqual(await seen(), [true, true, true, false]);
    one.cut('bus');
    assert.deepEqual(await seen(), [false, true, true, false]);
    assert.equal(await reaches(one, one.address('bus'), 1234), true, 'its own address');
    one.join('bus');
    two.cut('mail');
    assert.deepEqual(await seen(), [true, false, true, false]);
    two.join('mail');
    assert.deepEqual(await seen(), [true, true, true, false]);
    assert.match(namespaces(), mine);
  }
  assert.doesNotMatch(namespaces(), mine);
});

test('what a process left behind that was killed goes at the next start', { ...needsHosts() }, async () => {
  const script = `import { Hosts } from '#test/kit/nodes/hosts.ts';
    const hosts = Hosts.make(1);
    const orphan = hosts.host(1).run('sleep', ['600']);
    console.log('made by ' + process.pid + ', pid ' + orphan.pid);
    process.kill(process.pid, 'SIGKILL');`;
  const args = ['--input-type=module', '--eval', script];
  const left = (() => {
    try {
      return execFileSync(process.execPath, args, { encoding: 'utf8', cwd: process.cwd() });
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  })();
  const [, maker, pid] = /made by (\d+), pid (\d+)/.exec(left) ?? [];
  const theirs = new RegExp(`sealpost-test-${maker}-`);
  assert.equal(isGone(Number(pid)), false);
  assert.match(namespaces(), theirs);
  using hosts = Hosts.make(1);
  await waitFor(() => isGone(Number(pid)), { what: 'the orphan to end' });
  assert.doesNotMatch(namespaces(), theirs);
  assert.equal(hosts.hosts.length, 1);
});

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

test('the example for several hosts: a node and a nats-server each, one host without the bus for a while', {
  ...needsHosts('nats-server'),
  timeout: 120_000,
}, async (t) => {
  await using cluster = await HostCluster.create();
  await cluster.start();
  await cluster.node(1).createKey(DOMAIN, 's1');
  await cluster.load(60);
  const accepted = async (host: Host): Promise<number> => {
    const { loads } = await cluster.outside.look();
    return loads[host.name]?.accepted ?? 0;
  };
  const [one] = cluster.hosts.hosts;
  assert.ok(one !== undefined);
  const more = async (count: number): Promise<void> => {
    for (const host of cluster.hosts.hosts) {
      const before = await accepted(host);
      await waitFor(async () => (await accepted(host)) >= before + count, {
        what: `${count} messages at ${host.name}`,
        timeout: 30_000,
      });
    }
  };
  await more(20);
  // It signs and delivers by itself; the others go on without it.
  const two = cluster.nats.get(cluster.hosts.host(2));
  const before = two?.output.length;
  one.cut('bus');
  await more(50);
  // Nobody told the others: without their setting of TCP they would take 15 minutes to see it.
  await two?.waitForOutput(/10\.77\.1\.1:.* Router connection closed/, 40_000, before);
  one.join('bus');
  await two?.waitForOutput(/Route connection created/, 20_000, before);
  await more(20);
  await cluster.stopLoad();
  const view = await waitFor(
    async () => {
      const now = await cluster.outside.look();
      return now.missing.length === 0 && now;
    },
    { what: 'all mail', timeout: 30_000 },
  );
  t.diagnostic(JSON.stringify({ ...view, missing: undefined }));
  assert.deepEqual(
    view.signatures.map(([fields]) => fields),
    [1],
  );
  assert.deepEqual(view.strays, []);
  for (const { refused } of Object.values(view.loads)) assert.deepEqual(refused, {});
});
