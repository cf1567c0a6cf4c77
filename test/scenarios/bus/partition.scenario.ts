import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sealpost } from '#test/kit/command.ts';
import { lengthOf } from '#test/kit/length.ts';
import { DOMAIN, HostCluster } from '#test/kit/nodes/host-cluster.ts';
import { needsHosts } from '#test/kit/nodes/hosts.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Three hosts, two copies of each message. One host is cut off from the bus for five minutes, in both directions, while
 * it still has its clients and the next hop. The next hop answers nothing until the others have taken over what it had;
 * so mail waits on the host at the moment of the cut, and both sides would deliver it if they could.
 *
 * MINUTES chooses how long it is cut off.
 */
const MINUTES = lengthOf('MINUTES', { short: 2, full: 5 });
const CONNECTIONS = 10;

type Status = {
  processes: {
    node: string;
    state: string;
    queue?: { copies?: { lease: string; elsewhere: number; held: number } };
  }[];
  findings: { check: string; about: string; text: string }[];
};

test(`a host is cut off from the bus for ${MINUTES} minutes`, {
  ...needsHosts('nats-server'),
  timeout: 20 * 60_000,
}, async (t) => {
  await using cluster = await HostCluster.create({ config: `delivery: { connections: ${CONNECTIONS} }\n` });
  await cluster.start();
  await cluster.node(1).createKey(DOMAIN, 's1');
  const { outside } = cluster;
  const [cutOff] = cluster.hosts.hosts;
  assert.ok(cutOff !== undefined);
  /** What `cluster status` says on a host: its exit code, and the whole of it. */
  const status = async (n: number): Promise<{ code: number | null; status: Status; text: string }> => {
    const { configFile, folder } = cluster.node(n);
    const args = ['cluster', 'status', '--config', configFile];
    const within = cluster.hosts.host(n).within;
    const env = { HOSTNAME: `host-${n}` };
    const [json, text] = await Promise.all([
      sealpost([...args, '--json'], { cwd: folder, within, env }),
      sealpost(args, { cwd: folder, within, env }),
    ]);
    return { code: json.code, status: JSON.parse(json.stdout) as Status, text: text.stdout };
  };
  const takenOver = async (): Promise<number> => {
    const counts = await Promise.all(
      [2, 3].map(async (n) => {
        const { name } = cluster.node(n);
        const { queues } = JSON.parse(await cluster.node(n).sealpost('status', '--node', name, '--json')) as {
          queues: { copies: { takenOver: number } }[];
        };
        return queues[0]?.copies.takenOver ?? 0;
      }),
    );
    return counts.reduce((a, b) => a + b, 0);
  };

  await cluster.load(100);
  await waitFor(async () => (await outside.look()).messages > 300, { timeout: 60_000, what: 'mail' });
  await waitFor(async () => (await status(1)).code === 0, { timeout: 30_000, what: 'all to agree' });
  await outside.pause();
  await delay(5000);
  cutOff.cut('bus');
  const cut = performance.now();

  // Each side tells what it knows.
  await waitFor(
    async () => {
      const here = await status(1);
      const there = await status(2);
      const gone = there.status.processes.find((p) => p.node === 'host-1');
      assert.equal(there.code, 1);
      assert.equal(gone?.state, 'gone', there.text);
      assert.equal(here.code, 1);
      for (const { node, state } of here.status.processes) assert.equal(state === 'up', node === 'host-1', here.text);
      const own = here.status.processes.find((p) => p.node === 'host-1')?.queue?.copies;
      assert.equal(own?.lease, 'lost', here.text);
      assert.ok(here.status.findings.some(({ check }) => check === 'lease'));
      t.diagnostic(`on the host that is cut off:\n${here.text}\non another:\n${there.text}`);
      return true;
    },
    { timeout: 90_000, what: 'both sides to tell the truth' },
  );
  await waitFor(async () => (await takenOver()) > 0, { timeout: 90_000, what: 'a take-over' });
  t.diagnostic(`taken over ${((performance.now() - cut) / 1000).toFixed(0)} s after the cut`);
  await outside.resume();
  await delay(Math.max(0, cut + MINUTES * 60_000 - performance.now()));
  const during = await outside.look();
  cutOff.join('bus');
  await waitFor(async () => (await status(1)).code === 0 && (await status(2)).code === 0, {
    timeout: 90_000,
    what: 'all to agree again',
  });
  await cluster.stopLoad();
  const view = await waitFor(
    async () => {
      const now = await outside.look();
      return now.missing.length === 0 && now;
    },
    { what: 'all mail', timeout: 120_000 },
  );
  t.diagnostic(`taken over ${await takenOver()}, duplicates ${view.duplicates}`);
  t.diagnostic(JSON.stringify({ ...view, missing: during.missing.length }));
  assert.ok(view.duplicates <= CONNECTIONS, `${view.duplicates} duplicates`);
  assert.deepEqual(view.strays, []);
  // Each host took mail all the time, the one that was cut off too.
  for (const [host, { accepted }] of Object.entries(view.loads)) {
    assert.ok(accepted > MINUTES * 60 * 20, `${host} accepted ${accepted}`);
    assert.ok((view.loads[host]?.accepted ?? 0) > (during.loads[host]?.accepted ?? 0));
  }
});
