import { generateNek } from '#shared/dkim/nek.ts';
import { type NatsServer, startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { Load, type LoadOptions } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';
import { SealpostNode } from './node.ts';

/** Connections of a node to its next hop: as much mail can be under way when it dies. */
export const CONNECTIONS = 10;

export type CopiesOptions = {
  size?: number;
  queue?: string;
  routes?: string[];
  /** More sections of every node, or of the node of a number. */
  sections?: string | ((n: number) => Promise<string>);
  /** Messages a second in total, as long as it runs; none by default. */
  load?: number;
};

/** Whole nodes that keep two copies of each message, on three nats-servers, and one sink. */
export class CopiesCluster implements AsyncDisposable {
  readonly nats: readonly NatsServer[];
  readonly nodes: SealpostNode[];
  readonly sink: Tally;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    nats: readonly NatsServer[],
    nodes: SealpostNode[],
    sink: Tally,
    resources: AsyncDisposableStack,
  ) {
    this.nats = nats;
    this.nodes = nodes;
    this.sink = sink;
    this.#resources = resources;
  }

  /**
   * Everything running, with a key for example.com. `queue` are more options of that section, `routes` more entries, `sections`
   * more sections.
   */
  static async start({
    size = 3,
    queue = '',
    routes = [],
    sections = '',
    load,
  }: CopiesOptions = {}): Promise<CopiesCluster> {
    await using undo = new AsyncDisposableStack();
    const { servers } = undo.use(await startNatsCluster(3));
    const sink = undo.use(await Tally.start());
    const nek = generateNek('copies');
    const nodes: SealpostNode[] = [];
    for (let n = 1; n <= size; n++) {
      const config = [
        `bus: { servers: ${JSON.stringify(servers.map((server) => server.url))} }`,
        `queue: { copies: 2${queue === '' ? '' : `, ${queue}`} }`,
        `delivery: { connections: ${CONNECTIONS} }`,
        typeof sections === 'string' ? sections : await sections(n),
      ].join('\n');
      nodes.push(undo.use(await SealpostNode.create({ name: `edge-${n}`, nek, sink: sink.port, routes, config })));
    }
    await Promise.all(nodes.map((node) => node.start()));
    await nodes[0]?.createKey('example.com', 's1', 'ed25519');
    const cluster = new CopiesCluster(servers, nodes, sink, undo.move());
    if (load !== undefined) for (const one of cluster.loads('load', load)) cluster.#resources.use(one).start();
    return cluster;
  }

  /** The node of this number, from 1. */
  node(n: number): SealpostNode {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new Error(`there is no edge-${n}`);
    return node;
  }

  /** What the router of a node says, asked on that node. */
  async status(n: number) {
    const { active, deferred, copies } = await this.node(n).client('router')['status-show']({});
    if (copies === undefined) throw new Error(`edge-${n} keeps no copies`);
    return { active, deferred, copies };
  }

  /** Loads at all nodes, `rate` messages a second in total; not started. */
  loads(run: string, rate: number, more: Pick<LoadOptions, 'to'> = {}): Load[] {
    const each = { sessions: 4, sizes: [500, 2000, 40_000], rate: rate / this.nodes.length, ...more };
    return this.nodes.map(({ port }, i) => new Load(`${run}-${i + 1}`, { port, ...each }));
  }

  missing(loads: readonly Load[]): string[] {
    return loads.flatMap((load) => [...load.accepted].filter((id) => !this.sink.arrivals.has(id)));
  }

  /** Wait until everything that the loads were promised has arrived. */
  async arrived(loads: readonly Load[], timeout = 120_000): Promise<void> {
    await waitFor(() => this.missing(loads).length === 0, { timeout, what: 'every accepted message to arrive' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
