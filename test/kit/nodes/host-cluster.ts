import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { sealpost } from '#test/kit/command.ts';
import type { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Host, Hosts } from './hosts.ts';
import { SealpostNode } from './node.ts';
import { Outside } from './outside.ts';

const CONFIG = resolve(import.meta.dirname, '../../../cluster/hosts/sealpost.yaml');
/** Its domain, which is not in DNS here. */
export const DOMAIN = 'example.com';

export type HostClusterOptions = {
  /** Hosts; three by default. */
  size?: number;
  /** More sections of each sealpost.yaml. */
  config?: string;
};

/**
 * Several hosts as docs/install/several-machines.md describes them: each runs a nats-server with TLS and a node, with the
 * example's configuration and setting of TCP, and the secrets that `sealpost cluster init --nodes` makes. All mail goes
 * to the outside world.
 */
export class HostCluster implements AsyncDisposable {
  readonly hosts: Hosts;
  readonly outside: Outside;
  readonly nodes: readonly SealpostNode[];
  /** The nats-server of each host, once it was started. */
  readonly nats = new Map<Host, Program>();
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    { hosts, outside, nodes }: Pick<HostCluster, 'hosts' | 'outside' | 'nodes'>,
    folder: string,
    resources: AsyncDisposableStack,
  ) {
    this.hosts = hosts;
    this.outside = outside;
    this.nodes = nodes;
    this.#folder = folder;
    this.#resources = resources;
  }

  /** Everything made; no nats-server and no node runs yet. */
  static async create({ size = 3, config = '' }: HostClusterOptions = {}): Promise<HostCluster> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('hosts'));
    const hosts = undo.use(Hosts.make(size));
    const outside = undo.use(await Outside.start(hosts.outside));
    const addresses = hosts.hosts.map((host) => host.address('bus'));
    const args = ['cluster', 'init', path, '--nodes', '--hostname', 'mx.example.com', '--nats', ...addresses];
    const made = await sealpost(args, { cwd: path });
    if (made.code !== 0) throw new Error(made.stderr);
    const file = await exampleConfig(path, addresses, `routes: [${outside.route}]\n${config}`);
    const nodes: SealpostNode[] = [];
    for (const host of hosts.hosts) {
      await using set = host.run('sh', ['-c', 'echo 5 > /proc/sys/net/ipv4/tcp_retries2']);
      if ((await set.ended()) !== 0) throw new Error(set.output);
      const environment = { HOSTNAME: host.name };
      nodes.push(undo.use(await SealpostNode.create({ name: host.name, host, port: 25, file, environment })));
    }
    return new HostCluster({ hosts, outside, nodes }, path, undo.move());
  }

  /** Start a nats-server and a node with every service on each host. */
  async start(): Promise<void> {
    await Promise.all(this.hosts.hosts.map((host) => this.startNats(host)));
    const password = join(this.#folder, 'streams/bus-password');
    await this.node(1).sealpost('cluster', 'streams', '--password', password);
    await Promise.all(this.nodes.map((node) => node.start()));
  }

  /** The node of this number, from 1. */
  node(number: number): SealpostNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  /** Start a host's nats-server, with the store that it had. */
  async startNats(host: Host): Promise<Program> {
    const store = join(this.#folder, 'store', host.name);
    const address = host.address('bus');
    const env = { NATS_NAME: host.name, NATS_ADDRESS: address, NATS_ROUTE_ADDRESS: address, NATS_STORE: store };
    const program = host.run('nats-server', ['-c', 'nats.conf'], { cwd: join(this.#folder, 'nats'), env });
    if (!this.nats.has(host)) this.#resources.defer(() => this.nats.get(host)?.[Symbol.asyncDispose]());
    this.nats.set(host, program);
    await program.waitForOutput(/Server is ready/);
    return program;
  }

  /** Send from outside to each node, `rate` messages a second in all, in a load of its own with the host's name. */
  async load(rate: number, sizes: readonly number[] = [500, 2000, 6000]): Promise<void> {
    for (const host of this.hosts.hosts) {
      const share = { sessions: 4, rate: rate / this.hosts.hosts.length, patience: 30_000 };
      await this.outside.load(host.name, { host: host.address('mail'), port: 25, sizes, ...share });
    }
  }

  async stopLoad(): Promise<void> {
    for (const { name } of this.hosts.hosts) await this.outside.stop(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The example for the hosts of a test, with secrets from `folder`, open for mail from outside. */
async function exampleConfig(folder: string, addresses: readonly string[], more: string): Promise<string> {
  const example = await readFile(CONFIG, 'utf8');
  const changes: [from: string | RegExp, to: string][] = [
    ['./node/', join(folder, 'node/')],
    ['./nek/', join(folder, 'nek/')],
    ['./tls-nek/', join(folder, 'tls-nek/')],
    ['/var/lib/sealpost', './data'],
    [/servers: \[.*\]/, `servers: ${JSON.stringify(addresses.map((address) => `tls://${address}:4222`))}`],
    ['hosts: []', 'hosts: [10.77.2.0/24]'],
    ['signing: { mode: enforce }', 'signing: { mode: enforce }, keys: { proof: none }'],
    [/^routes:\n.*$/m, more],
  ];
  return changes.reduce((text, [from, to]) => {
    const changed = text.replaceAll(typeof from === 'string' ? from : new RegExp(from, `${from.flags}g`), to);
    if (changed === text) throw new Error(`the example has no ${from}`);
    return changed;
  }, example);
}
