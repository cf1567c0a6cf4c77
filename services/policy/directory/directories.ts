import type { Config } from '#cluster/config/schema/schema.ts';
import type { ClusterDirectory } from './cluster-directory.ts';
import { ConfiguredFile } from './configured-file.ts';
import { type AnyDirectory, Directory, type Entries, type Question } from './directory.ts';
import { type LdapDeps, LdapDirectory } from './ldap/ldap-directory.ts';
import type { ServerState } from './ldap/servers.ts';

type DirectoriesDeps = LdapDeps & { cluster?: Pick<ClusterDirectory, 'current' | 'open' | 'close'> | undefined };

type DirectorySettings = Pick<Config['directory'], 'users' | 'ldap'>;

/**
 * What policy knows of users and recipients, from all places where that is written, in the order in which they are asked:
 * the users file of this node's configuration, then the cluster's directory, then LDAP. The first that knows a name
 * answers.
 */
export class Directories {
  readonly #deps: DirectoriesDeps;
  readonly #file: ConfiguredFile;
  #ldap: LdapDirectory | undefined;
  /** The directory of the sources as they were last: they are the same objects for most questions. */
  #known: { sources: Entries[]; directory: Directory } = { sources: [], directory: new Directory([]) };

  constructor(deps: DirectoriesDeps) {
    this.#deps = deps;
    this.#file = new ConfiguredFile(deps.log);
  }

  /**
   * A directory that can answer about these users, addresses and maps; undefined where what is asked cannot be known now,
   * null where there is none.
   */
  ask(question: Question): AnyDirectory | Promise<AnyDirectory> {
    const { cluster: followed } = this.#deps;
    const file = this.#file.current;
    if (file === undefined) return undefined;
    const cluster = followed?.current;
    const isWhole = followed === undefined || (cluster !== undefined && cluster.unreadable.size === 0);
    const sources = [file ?? [], cluster ?? []].flat();
    if (isWhole && this.#ldap !== undefined) return this.#ldap.ask(question, sources);
    if (isWhole && file === null && (cluster === undefined || cluster.isEmpty)) return null;
    const directory = this.#of(sources);
    return isWhole || knowsAll(directory, question) ? directory : undefined;
  }

  /** Why it could not answer lately, for administrators. */
  get unread(): string | undefined {
    if (this.#file.current === undefined) return 'there is no valid users file';
    return this.#ldap?.trouble;
  }

  /** Which servers of LDAP can be asked now. */
  async checkLdap(): Promise<ServerState[]> {
    return (await this.#ldap?.check()) ?? [];
  }

  /** Fails with `unreadable` or `invalid` where the users file cannot be used. */
  async open({ users, ldap }: DirectorySettings): Promise<void> {
    await this.#file.open(users);
    this.#ldap = ldap && new LdapDirectory(ldap, this.#deps);
    await this.#deps.cluster?.open();
  }

  change(next: DirectorySettings, previous: DirectorySettings): void {
    if (next.users !== previous.users) void this.#file.change(next.users);
    if (JSON.stringify(next.ldap) === JSON.stringify(previous.ldap) && isSamePassword(next, previous)) return;
    this.#ldap?.close();
    this.#ldap = next.ldap && new LdapDirectory(next.ldap, this.#deps);
  }

  close(): void {
    this.#file.close();
    this.#deps.cluster?.close();
    this.#ldap?.close();
  }

  #of(sources: Entries[]): Directory {
    const before = this.#known.sources;
    const delimiter = this.#deps.delimiter();
    const isOld = this.#known.directory.delimiter !== delimiter || sources.length !== before.length;
    if (isOld || sources.some((source, i) => source !== before[i])) {
      this.#known = { sources, directory: new Directory(sources, delimiter) };
    }
    return this.#known.directory;
  }
}

function knowsAll(directory: Directory, { users = [], addresses = [], maps = [] }: Question): boolean {
  return (
    users.every((name) => directory.user(name) !== undefined) &&
    addresses.every((address) => directory.resolve(address) !== undefined) &&
    maps.every((name) => directory.map(name) !== undefined)
  );
}

/** A secret shows nothing of itself in JSON. */
const isSamePassword = (one: DirectorySettings, other: DirectorySettings): boolean =>
  one.ldap?.password?.reveal() === other.ldap?.password?.reveal();
