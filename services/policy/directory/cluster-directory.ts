import { readNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { Following } from '#cluster/follow/following.ts';
import { type Fetched, StoreSource } from '#cluster/follow/source.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { Calls, Hears } from '#services/topology.ts';
import type { Announce } from '#shared/contract.ts';
import type { AppPassword, UserRecord } from '#shared/directory/records.ts';
import { judgeDirectory } from '#shared/dkim/list-proof.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import type { PolicyContract } from '../contract.ts';
import { ClusterEntries } from './cluster-entries.ts';
import { verifyUser } from './cluster-passwords.ts';
import type { Entries } from './directory.ts';

/**
 * The cluster's directory, followed as signers follow keys (cluster/follow/): while no store has answered nothing is known,
 * and what needs it is deferred; once held it stays in use, however long the stores are away.
 *
 * Where all stores are of the version before, which have no directory, there is none: known when they were heard for a while
 * and none of them announced one.
 */
export type ClusterDirectoryDeps = {
  settings: Settings;
  log: Logger;
  credentials: Calls<'policy', 'credential-store'>;
  onStores: Hears<'policy', 'credential-store'>;
  announce: Announce<PolicyContract>;
};

/** A record as the store gives it. */
type Item = { key: string; json: string };

/** How long stores are heard before it is known that none has a directory. */
const LISTEN_MS = 3000;

export class ClusterDirectory {
  readonly #deps: ClusterDirectoryDeps;
  readonly #source: StoreSource<Item>;
  readonly #following: Following<Item>;
  #entries = this.#empty();
  /** The NEKs of the configuration as last read, or why there are none. */
  #neks: Nek[] | string = 'they were not read yet';
  /** A store announced a directory; when the first one announced itself without, by `performance.now`. */
  #served = false;
  #firstWithout = Number.POSITIVE_INFINITY;
  /** App passwords whose use was told to the stores on this day. */
  #told = { day: '', passwords: new Set<string>() };
  #stopListening: (() => void)[] = [];
  readonly #presence: AnnounceLoop;

  constructor(deps: ClusterDirectoryDeps) {
    this.#deps = deps;
    const { settings, credentials, log } = deps;
    this.#presence = this.#announcer();
    const { node, bus } = settings.current;
    this.#source = new StoreSource({
      ask: async (request, options) => {
        const { records, ...page } = await credentials['directory-list'](request, options);
        this.#assertProvable(page.revision);
        return { ...page, items: records };
      },
      groupOf: ({ key }) => key,
      judge: (neks, question, { items, ...page }, macs) =>
        judgeDirectory(neks, question, { ...page, records: items }, macs),
      words: { items: 'directory entries', holder: 'policy' },
      node: node.name,
      alone: bus.servers.length === 0,
      neks: async () => {
        const neks = await this.#readNeks();
        return typeof neks === 'string' ? [] : neks;
      },
    });
    this.#following = new Following({
      source: this.#source,
      log,
      adopt: (fetched) => this.#adopt(fetched),
      failed: () =>
        this.#following.loaded
          ? `the cluster's directory cannot be read: policy goes on with ${this.#entries.size} entries`
          : "the cluster's directory cannot be read: log-ins and mail for names that are not in a users file are deferred",
    });
  }

  /** Tell the stores that this process is there, and which NEKs it has, as it reads them each second. */
  #announcer(): AnnounceLoop {
    const instance = newId();
    return new AnnounceLoop(() => {
      const { revision, behind } = this.#following;
      const { node } = this.#deps.settings.current;
      const neks = typeof this.#neks === 'string' ? [] : this.#neks.map(({ fingerprint }) => fingerprint);
      const said = { node: node.name, instance, revision, neks, blocks: true, ...(behind !== undefined && { behind }) };
      this.#deps.announce('present', said);
    });
  }

  /** Resolves when the stores were asked once, whether one answered or not. */
  async open(): Promise<void> {
    const { onStores, settings } = this.#deps;
    this.#stopListening = [
      onStores('directory-changed', (said) => this.#following.changed(said)),
      onStores('present', ({ node, directory }) => {
        if (directory === undefined) {
          this.#firstWithout = Math.min(this.#firstWithout, performance.now());
          return;
        }
        this.#served = true;
        this.#following.hear({ node, revision: directory });
      }),
      settings.onChange(() => this.#following.askSoon()),
    ];
    await this.#following.open();
    this.#presence.start(() => {
      // What was read last is announced meanwhile.
      void this.#readNeks();
      this.#presence.now();
    });
  }

  close(): void {
    for (const stop of this.#stopListening) stop();
    this.#presence.stop();
    this.#following.close();
  }

  /**
   * Entries that come over the bus and cannot be checked for want of a NEK are not used. That there are none is believed:
   * clusters that have no directory need no NEK here.
   */
  #assertProvable(revision: number): void {
    const { bus } = this.#deps.settings.current;
    if (revision === 0 || bus.servers.length === 0 || typeof this.#neks !== 'string') return;
    throw new SealpostError(
      'no-nek',
      `policy needs the NEK to believe and to open entries of the directory: ${this.#neks}`,
    );
  }

  /** undefined: nothing is known yet. */
  get current(): (Entries & Pick<ClusterEntries, 'isEmpty' | 'unreadable'>) | undefined {
    if (this.#following.loaded) return this.#entries;
    const none = !this.#served && performance.now() - this.#firstWithout >= LISTEN_MS;
    return none ? this.#entries : undefined;
  }

  get revision(): number {
    return this.#following.revision;
  }

  #adopt({ node, revision, read }: Fetched<Item>): void {
    const { log } = this.#deps;
    const { items, touched } = read;
    const jsonOf = (key: string): string | undefined => items.get(key)?.[0]?.json;
    const keys = touched ?? new Set([...items.keys(), ...this.#entries.keys()]);
    for (const key of keys) {
      const problem = this.#entries.put(key, jsonOf(key));
      if (problem === undefined) continue;
      log.error(
        { record: key, error: problem },
        'an entry of the directory is damaged, or was written by a newer Sealpost: names that nothing else has are deferred',
      );
    }
    const isFirst = !this.#following.loaded;
    if (isFirst) log.info({ revision, store: node, entries: this.#entries.size }, "the cluster's directory is loaded");
  }

  #empty(): ClusterEntries {
    return new ClusterEntries((user: UserRecord) =>
      verifyUser(user, {
        neks: async (again) => (again ? this.#readNeks() : this.#neks),
        used: (name, app) => this.#tellUse(name, app),
      }),
    );
  }

  async #readNeks(): Promise<Nek[] | string> {
    const read = await readNeks(this.#deps.settings.current.credentials.nek);
    // A file that cannot be read changes nothing: log-ins go on.
    if (typeof read !== 'string' || typeof this.#neks === 'string') this.#neks = read;
    return this.#neks;
  }

  /** Once a day for each password, after its log-in, which does not wait for it. What fails is told at the next log-in. */
  #tellUse(user: string, { tag, lastUsed }: AppPassword): void {
    const day = new Date().toISOString().slice(0, 10);
    if (this.#told.day !== day) this.#told = { day, passwords: new Set() };
    const { passwords } = this.#told;
    const id = `${tag}!${user}`;
    if ((lastUsed ?? '') >= day || passwords.has(id)) return;
    passwords.add(id);
    this.#deps.credentials['app-password-used']({ user, tag, day }).catch((error: unknown) => {
      passwords.delete(id);
      this.#deps.log.debug({ user, error: errorText(error) }, 'the use of an app password was not noted');
    });
  }
}
