import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { ReplicatedMap, type ReplicatedMapOptions } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import type { Logger } from '#shared/log.ts';
import { silentLogger } from '#shared/log.ts';

export type MapNodeOptions<T> = Pick<ReplicatedMapOptions<T>, 'schema' | 'node' | 'bucket'> & {
  /** Folder of its LevelDB. */
  folder: string;
  servers: readonly string[];
  replicas?: number;
  log?: Logger;
};

/** One node's part of a replicated map: its own connection to NATS, its own LevelDB, and the map. */
export class MapNode<T> implements AsyncDisposable {
  readonly map: ReplicatedMap<T>;
  readonly store: Store;
  readonly #bus: NatsBus;

  private constructor(map: ReplicatedMap<T>, store: Store, bus: NatsBus) {
    this.map = map;
    this.store = store;
    this.#bus = bus;
  }

  static async start<T>(options: MapNodeOptions<T>): Promise<MapNode<T>> {
    const { schema, node, bucket, folder, servers, replicas = 3, log = silentLogger } = options;
    await using undo = new AsyncDisposableStack();
    const bus = await NatsBus.connect({ servers, node, log });
    undo.defer(() => bus.drain());
    const store = await Store.open(folder, log);
    undo.defer(() => store.close());
    const { jetStream } = bus;
    const map = await ReplicatedMap.open({
      ...{ store, prefix: 'map!', bucket, schema, node, log, jetStream, replicas },
    });
    undo.move();
    return new MapNode(map, store, bus);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.map.close();
    await this.#bus.drain();
    await this.store.close();
  }
}
