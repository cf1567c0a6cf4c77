import type { Logger } from '#shared/log.ts';
import type { ClusterDirectory } from './cluster-directory.ts';
import { ConfiguredFile } from './configured-file.ts';
import { type AnyDirectory, Directory, type Entries, type Question } from './directory.ts';

/**
 * What policy knows of users and recipients, from all places where that is written, in the order in which they are asked:
 * the users file of this node's configuration, then the cluster's directory. The first that knows a name answers.
 */
export class Directories {
  readonly #file: ConfiguredFile;
  readonly #cluster: Pick<ClusterDirectory, 'current' | 'open' | 'close'> | undefined;
  /** The directory of the sources as they were last: they are the same objects for most questions. */
  #known: { sources: Entries[]; directory: Directory } = { sources: [], directory: new Directory([]) };

  constructor(log: Logger, cluster?: Pick<ClusterDirectory, 'current' | 'open' | 'close'>) {
    this.#file = new ConfiguredFile(log);
    this.#cluster = cluster;
  }

  /**
   * A directory that can answer about these users and addresses; undefined where what is asked cannot be known now, null
   * where there is none.
   */
  ask({ users = [], addresses = [] }: Question): AnyDirectory | Promise<AnyDirectory> {
    const file = this.#file.current;
    if (file === undefined) return undefined;
    const cluster = this.#cluster?.current;
    const isWhole = this.#cluster === undefined || (cluster !== undefined && cluster.unreadable.size === 0);
    if (isWhole && file === null && (cluster === undefined || cluster.isEmpty)) return null;
    const directory = this.#of([file ?? [], cluster ?? []].flat());
    if (isWhole) return directory;
    const knowsAll =
      users.every((name) => directory.user(name) !== undefined) &&
      addresses.every((address) => directory.resolve(address) !== undefined);
    return knowsAll ? directory : undefined;
  }

  /** Fails with `unreadable` or `invalid` where the users file cannot be used. */
  async open(file: string | undefined): Promise<void> {
    await this.#file.open(file);
    await this.#cluster?.open();
  }

  /** Another users file, or none. */
  change(file: string | undefined): Promise<void> {
    return this.#file.change(file);
  }

  close(): void {
    this.#file.close();
    this.#cluster?.close();
  }

  #of(sources: Entries[]): Directory {
    const before = this.#known.sources;
    if (sources.length !== before.length || sources.some((source, i) => source !== before[i])) {
      this.#known = { sources, directory: new Directory(sources) };
    }
    return this.#known.directory;
  }
}
