import { join } from 'node:path';
import { connect, type MsgHdrs, type NatsConnection } from 'nats';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Logger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Note } from '#test/suites/replicated-map.ts';
import { MapNode, type MapNodeOptions } from './map-node.ts';
import { type NatsServer, startNatsCluster } from './nats-server.ts';

export type NoteNode = MapNode<Note>;
export type NodeSet = AsyncDisposable & {
  nodes: NoteNode[];
  bucket: string;
  /** The LevelDB of a node: of those started, and of more. */
  folder: (i: number) => string;
};

/** Three NATS servers with JetStream, and folders for nodes. Each set of nodes has a stream of its own. */
export class MapSite implements AsyncDisposable {
  readonly servers: readonly NatsServer[];
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;
  #sets = 0;

  private constructor(servers: readonly NatsServer[], folder: string, resources: AsyncDisposableStack) {
    this.servers = servers;
    this.#folder = folder;
    this.#resources = resources;
  }

  static async start(): Promise<MapSite> {
    await using undo = new AsyncDisposableStack();
    const dir = undo.use(await tempDir('map'));
    const { servers } = undo.use(await startNatsCluster(3));
    const site = new MapSite(servers, dir.path, undo.move());
    // A cluster that has just started answers late.
    await site.withNats((connection) =>
      waitFor(async () => (await connection.jetstreamManager({ timeout: 1000 })).getAccountInfo(), {
        ...{ what: 'JetStream', timeout: 20_000 },
      }),
    );
    return site;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  /** A server by its number, counted round. */
  server(i: number): NatsServer {
    const server = this.servers[i % this.servers.length];
    if (server === undefined) throw new Error('no servers');
    return server;
  }

  node(options: Partial<MapNodeOptions<Note>> & Pick<MapNodeOptions<Note>, 'node' | 'folder' | 'bucket'>) {
    return MapNode.start<Note>({ schema: Note, servers: this.urls, ...options });
  }

  /** Nodes n0, n1 …, each on one of the servers, following a new stream. */
  async nodes(size: number, log?: Logger): Promise<NodeSet> {
    await using undo = new AsyncDisposableStack();
    const bucket = `notes${++this.#sets}`;
    const folder = (i: number): string => join(this.#folder, bucket, String(i));
    const nodes: NoteNode[] = [];
    for (let i = 0; i < size; i++) {
      const options = { node: `n${i}`, folder: folder(i), bucket, servers: [this.server(i).url] };
      nodes.push(await this.node({ ...options, ...(log !== undefined && { log }) }));
      undo.defer(async () => nodes[i]?.[Symbol.asyncDispose]());
    }
    await following(nodes);
    const resources = undo.move();
    return { nodes, bucket, folder, [Symbol.asyncDispose]: () => resources.disposeAsync() };
  }

  async withNats<R>(use: (connection: NatsConnection) => Promise<R>): Promise<R> {
    const connection = await connect({ servers: this.urls });
    try {
      return await use(connection);
    } finally {
      await connection.close();
    }
  }

  /** The server that leads the stream of a set. */
  async leader({ bucket }: NodeSet): Promise<NatsServer> {
    return waitFor(
      async () => {
        const name = await this.withNats(async (connection) => {
          const jsm = await connection.jetstreamManager({ timeout: 2000 });
          return (await jsm.streams.info(`KV_${bucket}`)).cluster?.leader;
        });
        return this.servers[Number(name?.slice(1)) - 1];
      },
      { what: 'a leader of the stream', timeout: 20_000 },
    );
  }

  async deleteStream({ bucket }: NodeSet): Promise<void> {
    await this.withNats(async (connection) => {
      await (await connection.jetstreamManager({ timeout: 5000 })).streams.delete(`KV_${bucket}`);
    });
  }

  /** Put a stranger's message in the stream of a set. */
  async inject({ bucket }: NodeSet, key: string, data: string, headers?: MsgHdrs): Promise<void> {
    await this.withNats(async (connection) => {
      const subject = `$KV.${bucket}.${key}`;
      if (headers === undefined) await connection.jetstream().publish(subject, data, { timeout: 5000 });
      else await connection.request(subject, Buffer.from(data), { timeout: 5000, headers });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** A change to this text; again it changes nothing. */
export const text =
  (value: string) =>
  (now: Note | undefined): Note =>
    now?.text === value ? now : { text: value };
/** A change that adds a tag; again it changes nothing. */
export const tag =
  (name: string) =>
  (now: Note | undefined): Note =>
    now?.tags?.includes(name) ? now : { text: '', tags: [...(now?.tags ?? []), name] };
export const count = (now: Note | undefined): Note => ({ text: String(Number(now?.text ?? 0) + 1) });

export async function following(nodes: readonly NoteNode[]): Promise<void> {
  await waitFor(() => nodes.every(({ map }) => map.state === 'following'), {
    ...{ what: 'all nodes to follow', timeout: 30_000 },
  }).catch((cause: unknown) => {
    throw new Error(nodes.map(({ map }) => `${map.state}: ${map.problem}`).join(', '), { cause });
  });
}

/** Do something that takes the stream away, and wait until every node has ceased to follow, be it for a moment. */
export async function losing(nodes: readonly NoteNode[], take: () => Promise<void>): Promise<void> {
  const following = new Set(nodes);
  const stops = nodes.map((node) => node.map.onState((state) => state !== 'following' && following.delete(node)));
  await take();
  await waitFor(() => following.size === 0, { what: 'the loss to be noticed', timeout: 30_000 });
  for (const stop of stops) stop();
}

/** Everything that a node shows. */
export const shown = ({ map }: { map: ReplicatedMap<Note> }): string => JSON.stringify([map.revision, map.entries()]);

export async function alike(nodes: readonly NoteNode[]): Promise<void> {
  await waitFor(() => new Set(nodes.map(shown)).size === 1, { what: 'all nodes to hold the same', timeout: 20_000 });
}

/** Change a record, and ask again until it is made. Only for what may be done twice. */
export async function insist(node: NoteNode | undefined, key: string, fn: (now: Note | undefined) => Note | undefined) {
  return waitFor(() => node?.map.update(key, fn), { what: `a change of ${key}`, timeout: 30_000 });
}
