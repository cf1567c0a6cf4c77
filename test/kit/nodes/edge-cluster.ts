import { generateNek } from '#shared/dkim/nek.ts';
import { errorCode } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import { type NatsServer, startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { VerifyingSink } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';
import { SealpostNode } from './node.ts';

export type EdgeClusterOptions = {
  /** Nodes; five by default. */
  size?: number;
  /** More sections of each node's sealpost.yaml. */
  config?: string;
  /** Of each node's process, and of its commands. */
  environment?: Record<string, string>;
  /** Where nodes reach NATS, in place of the servers themselves. */
  busServers?: (servers: readonly NatsServer[]) => Promise<string[]>;
};

export const DOMAIN = 'example.com';

/**
 * Five edge nodes, each a process with every service, on three nats-servers with JetStream; example.com with a BIND
 * primary that takes updates and a secondary; and a sink that verifies each message as it arrives.
 */
export class EdgeCluster implements AsyncDisposable {
  readonly nats: NatsServer[];
  readonly zones: ZoneServers;
  readonly sink: VerifyingSink;
  readonly nodes: SealpostNode[];
  readonly #resources: AsyncDisposableStack;

  private constructor(
    { nats, zones, sink, nodes }: Pick<EdgeCluster, 'nats' | 'zones' | 'sink' | 'nodes'>,
    resources: AsyncDisposableStack,
  ) {
    this.nats = nats;
    this.zones = zones;
    this.sink = sink;
    this.nodes = nodes;
    this.#resources = resources;
  }

  /** Everything made and running, the nodes too. */
  static async start({
    size = 5,
    config = '',
    busServers,
    environment = {},
  }: EdgeClusterOptions = {}): Promise<EdgeCluster> {
    await using undo = new AsyncDisposableStack();
    const { servers } = undo.use(await startNatsCluster(3));
    const zones = undo.use(await ZoneServers.start({ [DOMAIN]: '' }));
    const sink = undo.use(await VerifyingSink.start(zones.servers));
    const urls = (await busServers?.(servers)) ?? servers.map((server) => server.url);
    const nek = generateNek('edge');
    const nodes: SealpostNode[] = [];
    for (let n = 1; n <= size; n++) {
      const text =
        `bus: { servers: ${JSON.stringify(urls)} }\n${zones.yaml()}` +
        `domains: [{ name: ${DOMAIN}, signing: { mode: enforce } }]\n${config}`;
      const options = { name: `edge-${n}`, nek, sink: sink.port, config: text, environment };
      nodes.push(undo.use(await SealpostNode.create(options)));
    }
    await Promise.all(nodes.map((node) => node.start()));
    return new EdgeCluster({ nats: servers, zones, sink, nodes }, undo.move());
  }

  /** The node of this number, from 1. */
  node(n: number): SealpostNode {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new Error(`there is no edge-${n}`);
    return node;
  }

  /** The keys as a node sees them. */
  async keys(node = this.node(1)): Promise<KeyStatus[]> {
    return (await node.client('credential-store')['key-list']({})).keys;
  }

  async key(selector: string, node = this.node(1)): Promise<KeyStatus | undefined> {
    return (await this.keys(node)).find((key) => key.selector === selector);
  }

  /** The rotation under way, as a node sees it. */
  async rotation(node = this.node(1)): Promise<RotationStatus | undefined> {
    try {
      const rotation = await node.client('credential-store')['rotation-show']({ domain: DOMAIN });
      return ['done', 'rolled-back'].includes(rotation.state) ? undefined : rotation;
    } catch (error) {
      if (errorCode(error) === 'not-found') return undefined;
      throw error;
    }
  }

  /** Wait until a key is in a state, as a node sees it. */
  async reached(selector: string, state: string, { node = this.node(1), timeout = 60_000 } = {}): Promise<void> {
    const seen = async () => (await this.key(selector, node))?.state;
    await waitFor(async () => (await seen()) === state, { timeout, what: `key ${selector} to be ${state}` });
  }

  /** The selectors that sign, as a node sees them. */
  async active(node = this.node(1)): Promise<string[]> {
    return (await this.keys(node)).filter((key) => key.state === 'active').map((key) => key.selector);
  }

  /** Loads at all nodes, `rate` messages a second in total; not started. */
  loads(run: string, rate: number): Load[] {
    return this.nodes.map(
      ({ port }, i) =>
        new Load(`${run}-${i + 1}`, { port, sessions: 4, sizes: [500, 2000, 6000], rate: rate / this.nodes.length }),
    );
  }

  /** Wait until everything that the loads were promised has arrived. */
  async arrived(loads: readonly Load[], timeout = 120_000): Promise<void> {
    const missing = (): string[] =>
      loads.flatMap((load) => [...load.accepted].filter((id) => !this.sink.arrivals.has(id)));
    await waitFor(() => missing().length === 0, { timeout, what: 'every accepted message to arrive' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
