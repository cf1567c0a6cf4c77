import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ROOT } from '#test/kit/docs/pages.ts';
import { commandLine, DOMAIN, MachineCluster, PLACE } from '#test/kit/machine/machine-cluster.ts';
import { needsHosts } from '#test/kit/nodes/hosts.ts';
import type { OutsideView } from '#test/kit/nodes/outside.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * docs/install/several-machines.md from end to end, on machines of their own, while mail flows at all of them: three are
 * set up, all are upgraded from the version before, a fourth one is added, the NEK is replaced, a machine loses its disk and
 * comes back, and nats-server gets other settings and is started again everywhere. Nothing that was accepted is lost, each
 * signature of each message verifies as it arrives, and a client that tries the machines in turn is never long without a 250.
 *
 * The version before is the commit FORMER, or what UPGRADE_FROM names; a clone without it runs this version all the time.
 */
const FORMER = process.env['UPGRADE_FROM'] ?? 'd9197a0a';
/** Without a 250, for a client that tries the machines in turn. */
const MOST_MS = 10_000;
const BEGIN = 'One node on each machine';
const [RATE, TURNS] = [4, 'in-turn'];

const hasFormer = ((): boolean => {
  try {
    execFileSync('git', ['cat-file', '-e', `${FORMER}^{commit}`], { cwd: ROOT, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test('four machines: upgraded, one more, another NEK, one replaced, and nats-server started again', {
  ...needsHosts('nats-server', 'named', ...VERIFIER),
  timeout: 20 * 60_000,
}, async (t) => {
  await using undo = new AsyncDisposableStack();
  const { path: former } = undo.use(await tempDir('former'));
  if (hasFormer) {
    // The user of the node reads it.
    await chmod(former, 0o755);
    execFileSync('sh', ['-c', `git archive ${FORMER} | tar -x -C ${former}`], { cwd: ROOT });
    await symlink(join(ROOT, 'node_modules'), join(former, 'node_modules'));
  }
  const cluster = undo.use(await MachineCluster.create(4));
  const walk = new Walk(cluster);
  /** One follows from the other: the first that fails is the last. */
  const step = async (name: string, run: (t: TestContext) => Promise<void>): Promise<void> => {
    const failures: unknown[] = [];
    await t.test(name, (own) =>
      run(own).catch((error: unknown) => {
        failures.push(error);
        throw error;
      }),
    );
    if (failures.length > 0) throw failures[0];
  };

  await step('three machines are set up', async () => {
    for (const number of [1, 2, 3]) await cluster.boot(number, hasFormer ? former : ROOT);
    const first = cluster.machine(1);
    await first.must(cluster.block(BEGIN, 'cluster init'));
    await first.must(cluster.block(BEGIN, 'cluster/hosts/sealpost.yaml'));
    // What a reader decides: hosts, routes and the name server.
    const outside = cluster.hosts.outside.address('mail');
    await edit(cluster, [
      busServers(cluster, [1, 2, 3]),
      [/hosts: \[\]/, `hosts: [${outside}]`],
      [/^routes:\n.*$/m, `routes: [${cluster.outside.route}]`],
      [/^bus:$/m, `dns: { servers: ["${outside}"] }\nbus:`],
    ]);
    await cluster.carry('machine', 1, [2, 3]);
    for (const number of [1, 2, 3]) await cluster.setUp(number);
    await walk.eventually(1, 'the streams', cluster.block(BEGIN, 'cluster streams'));
    await cluster.publish(await walk.eventually(1, 'a key', cluster.block(BEGIN, 'keys create')));
    await walk.agree(3);
    await walk.keysSign(3);
  });

  await walk.send([1, 2, 3]);

  if (!hasFormer) t.diagnostic(`not upgraded: this clone does not have the commit ${FORMER}`);
  else {
    await step('the version before is replaced by this one', async (t) => {
      const command = join(ROOT, 'services/console/cli/sealpost.js');
      const newly = (block: string): string => block.replace(/\bsealpost (?=cluster )/, `${command} `);
      await cluster.machine(1).must(newly(cluster.block(BEGIN, 'cluster init')));
      await cluster.spreadNats([1, 2, 3]);
      await cluster.machine(1).must(newly(cluster.block(BEGIN, 'cluster streams')));
      const [stop = '', , start = ''] = cluster.block('Upgrade', 'systemctl stop').split('\n');
      for (const number of [1, 2, 3]) {
        await cluster.machine(number).must(stop);
        await cluster.machine(number).install(ROOT);
        await cluster.machine(number).must(start);
        await walk.up(3, number);
      }
      await walk.agree(3);
      await walk.still(t);
    });
  }

  await step('a fourth machine is added', async (t) => {
    await cluster.machine(1).must(cluster.block('Add a machine', 'cluster init'));
    await cluster.spreadNats([1, 2, 3]);
    await cluster.boot(4);
    await equip(cluster, 4);
    await walk.agree(4);
    await walk.keysSign(4);
    await walk.send([4]);
    await walk.still(t);
  });

  await step('another NEK', async (t) => {
    const section = 'Another NEK';
    const file = '/etc/sealpost/nek/nek.key';
    await cluster.machine(2).must(cluster.block(section, 'create nek'));
    const line = (await cluster.machine(2).must(`grep '^sealpost-nek:edge2:' ${file}`)).trim();
    for (const number of [1, 3, 4]) await cluster.machine(number).must(`echo '${line}' >> ${file}`);
    await cluster.machine(1).must(`echo '${line}' >> ${PLACE}/cluster/nek/nek.key`);
    const [rotate = '', show = '', remove = ''] = cluster.block(section, 'rotate nek').split('\n');
    await walk.eventually(2, 'every node to have the NEK', rotate);
    const shown = await cluster.machine(3).must(show);
    assert.match(shown, /edge2/);
    await walk.eventually(2, 'the old NEK to wrap nothing', remove);
    for (const number of [1, 2, 3, 4]) await cluster.machine(number).must(`sed -i '/^sealpost-nek:cluster:/d' ${file}`);
    await walk.agree(4);
    await walk.still(t);
  });

  await step('a machine that lost its disk is replaced', async (t) => {
    await cluster.lose(3);
    await walk.flows([1, 2, 4]);
    await cluster.boot(3);
    for (const network of ['bus', 'mail'] as const) cluster.hosts.host(3).join(network);
    await equip(cluster, 3);
    await walk.agree(4);
    await walk.keysSign(4);
    await walk.still(t);
  });

  await step('nats-server gets other settings, and is started again on one machine after the other', async (t) => {
    const settings = cluster.block('Settings of NATS', 'max_payload');
    await cluster.machine(1).must(`cat >> cluster/nats/local.conf <<'END'\n${settings}END`);
    await cluster.carryNats([1, 2, 3, 4]);
    for (const number of [1, 2, 3, 4]) {
      await cluster.machine(number).must(cluster.block('Settings of NATS', 'systemctl restart'));
      await walk.eventually(number, 'the settings', "grep 'Max Storage: *2.00 GB' /var/log/nats-server.log");
      await walk.up(4, number);
    }
    await walk.agree(4);
    await walk.still(t);
  });

  await walk.stop();
  await step('all that was accepted has arrived, and every signature verified', async (t) => {
    for (const number of [1, 2, 3, 4]) await cluster.sealpost(number, 'queue retry --all --yes');
    await waitFor(async () => (await cluster.outside.look()).missing.length === 0, {
      what: 'every accepted message to arrive',
      timeout: 120_000,
    });
    const { messages, duplicates, signatures, bad, loads } = await cluster.outside.look();
    t.diagnostic(`${messages} messages, ${duplicates} came twice`);
    assert.deepEqual(bad, []);
    assert.deepEqual(signatures, [[1, messages]]);
    for (const { refused } of Object.values(loads))
      for (const reply of Object.keys(refused)) assert.match(reply, /^4/, 'nothing but "try again"');
    const { findings } = JSON.parse(
      await cluster.machine(4).must(`${commandLine('doctor --json')} || test $? = 1`),
    ) as {
      findings: { severity: string }[];
    };
    t.diagnostic(`doctor: ${JSON.stringify(findings)}`);
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'error'),
      [],
    );
  });
});

/** Change the sealpost.yaml that a new machine gets: each of these texts is there. */
async function edit(cluster: MachineCluster, changes: readonly [from: RegExp, to: string][]): Promise<void> {
  const file = `${PLACE}/machine/sealpost.yaml`;
  const edited = changes.reduce(
    (text, [from, to]) => {
      assert.match(text, from);
      return text.replace(from, to);
    },
    await cluster.machine(1).read(file),
  );
  await cluster.machine(1).write(file, edited);
}

/** The addresses of these machines as `bus.servers`. */
function busServers(cluster: MachineCluster, numbers: readonly number[]): [RegExp, string] {
  const urls = numbers.map((number) => `tls://${cluster.hosts.host(number).address('bus')}:4222`);
  return [/servers: \["tls:.*\]/, `servers: ${JSON.stringify(urls)}`];
}

/** A machine without anything becomes one of the cluster, with what another one has. */
async function equip(cluster: MachineCluster, number: number): Promise<void> {
  await cluster.machine(1).must(cluster.block('Add a machine', 'mkdir -m 700 ./machine'));
  await edit(cluster, [busServers(cluster, [1, 2, 3, 4])]);
  await cluster.carry('machine', 1, [number]);
  await cluster.machine(1).must('rm -r machine');
  await cluster.setUp(number);
}

/** Mail that flows, and what is expected of the cluster meanwhile. */
class Walk {
  readonly #cluster: MachineCluster;
  readonly #sending: string[] = [];
  /** The longest time without a 250, by load, since `still` asked last. */
  readonly #pauses = new Map<string, number>();

  constructor(cluster: MachineCluster) {
    this.#cluster = cluster;
  }

  async #look(): Promise<OutsideView> {
    const view = await this.#cluster.outside.look();
    for (const [name, { longestPause }] of Object.entries(view.loads))
      this.#pauses.set(name, Math.max(longestPause, this.#pauses.get(name) ?? 0));
    return view;
  }

  async eventually(number: number, what: string, lines: string): Promise<string> {
    const machine = this.#cluster.machine(number);
    try {
      return await machine.eventually(lines, what, 120_000);
    } catch (error) {
      const { stdout } = await machine.shell('tail -n 20 /var/log/nats-server.log /var/log/sealpost.log');
      throw new Error(`machine ${number}: ${stdout}`, { cause: error });
    }
  }

  /** Wait until so many processes are there, and agree, as a machine sees it. */
  async agree(count: number, number = 1): Promise<void> {
    const line = `${commandLine('cluster status')} | tee /run/status | grep -q '${count} processes: all agree' || { cat /run/status; false; }`;
    await this.eventually(number, `${count} machines that agree`, line);
  }

  /** Wait until a machine is there again, as the others see it and as it sees them; versions may differ meanwhile. */
  async up(count: number, number: number): Promise<void> {
    for (const witness of [number, number === 1 ? 2 : 1]) {
      const line = `(${commandLine('cluster status --json')} || test $? = 1) | grep -c '"state": "up"' | grep -qx ${count}`;
      await this.eventually(witness, `${count} machines`, line);
    }
  }

  async keysSign(count: number): Promise<void> {
    await this.eventually(
      1,
      'the key to sign',
      `${commandLine('keys list')} | grep -E ' active .* ${count}/${count} '`,
    );
  }

  /** Send to each of these machines, and once to all in turn. */
  async send(numbers: readonly number[]): Promise<void> {
    const { hosts, outside } = this.#cluster;
    const mail = { port: 25, sizes: [500, 4000, 60_000], from: `alice@${DOMAIN}`, to: 'somebody@dest.test' };
    for (const number of numbers) {
      const host = hosts.host(number);
      await outside.load(host.name, { ...mail, host: host.address('mail'), sessions: 2, rate: RATE, patience: 30_000 });
      this.#sending.push(host.name);
    }
    if (!this.#sending.includes(TURNS)) {
      const all = hosts.hosts.map((host) => host.address('mail'));
      await outside.load(TURNS, { ...mail, hosts: all, sessions: 2, perSession: 5, rate: RATE, patience: 3000 });
      this.#sending.push(TURNS);
    }
    await this.flows(numbers);
  }

  /** Wait until each of these machines has taken some more mail. */
  async flows(numbers: readonly number[]): Promise<void> {
    const names = [...numbers.map((number) => this.#cluster.hosts.host(number).name), TURNS];
    const before = (await this.#look()).loads;
    const moved = async (): Promise<boolean> => {
      const { loads } = await this.#look();
      return names.every((name) => (loads[name]?.accepted ?? 0) >= (before[name]?.accepted ?? 0) + 10);
    };
    await waitFor(moved, { what: `mail at ${names.join(', ')}`, timeout: 60_000 });
  }

  /** The client that tries the machines in turn was never long without a 250 since the last time, and mail flows everywhere. */
  async still(t: TestContext): Promise<void> {
    await this.#look();
    const pauses = [...this.#pauses].map(([name, ms]) => `${name} ${(ms / 1000).toFixed(1)}`);
    t.diagnostic(`longest time without a 250, in seconds: ${pauses.join(', ')}`);
    const longest = this.#pauses.get(TURNS) ?? Number.POSITIVE_INFINITY;
    this.#pauses.clear();
    assert.ok(longest <= MOST_MS, `${Math.round(longest)} ms without a 250`);
    await this.flows(
      this.#cluster.hosts.hosts.map(({ number }) => number).filter((n) => this.#sending.includes(`host-${n}`)),
    );
  }

  async stop(): Promise<void> {
    for (const name of this.#sending) await this.#cluster.outside.stop(name);
  }
}
