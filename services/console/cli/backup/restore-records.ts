import { join } from 'node:path';
import { loadNeks } from '#cluster/config/nek.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { parseHistory, type RecordHistory } from '#cluster/replicated/record.ts';
import { isRestorable, type Restored, type Standing, standing } from '#cluster/replicated/restore.ts';
import { type ClosedCredentials, openClosedCredentials } from '#services/closed-stores.ts';
import type { RecordMap } from '#services/credential-store/contract.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { Caller } from '../context.ts';
import { operator } from '../operator.ts';
import { giveTo, type Owner, ownerOf } from './closed-store.ts';
import { askRecords } from './sources.ts';

/**
 * Puts the records of a backup into the store on this disk, whose node does not run. The node gives them to the others when
 * it starts, as any node does that holds what the stream lacks.
 *
 * Where credential-stores of other nodes run, these are asked first what they have: a record that they have, or had and
 * deleted, is left out, unless theirs is an ancestor of that of the backup. Nothing of the backup can win over them then:
 * without that, a record of a higher version would, where a cluster was begun anew since.
 */
export type RecordCounts = {
  restored: number;
  same: number;
  /** The one that is held is newer. */
  older: number;
  /** Keys of records that are held with another history. */
  differs: string[];
  refused: { key: string; reason: string }[];
};

export type RecordsOptions = {
  config: Config;
  dryRun: boolean;
  /** To whom the folder of data belonged. */
  owner: Owner | undefined;
  /** Credential-stores of other nodes; undefined where none runs. */
  living: Caller | undefined;
};

/** What other nodes hold, by map and key. */
type Living = Record<RecordMap, Map<string, RecordHistory>>;

export class RecordRestoration implements AsyncDisposable {
  readonly counts: RecordCounts = { restored: 0, same: 0, older: 0, differs: [], refused: [] };
  readonly #options: RecordsOptions;
  readonly #living: Living;
  #store: ClosedCredentials | undefined;

  private constructor(options: RecordsOptions, living: Living) {
    this.#options = options;
    this.#living = living;
  }

  /** Fails as the question does where a store of another node does not answer to the end. */
  static async begin(options: RecordsOptions): Promise<RecordRestoration> {
    const { living } = options;
    const of = async (map: RecordMap) => (living === undefined ? new Map() : historiesOf(living, map));
    return new RecordRestoration(options, { keys: await of('keys'), directory: await of('directory') });
  }

  /** The records of a page. Fails with `store-locked` while the node runs, or with `store-failed`. */
  async add(map: RecordMap, text: string): Promise<void> {
    for (const json of text.split('\n')) if (json !== '') this.#count(await this.#restore(map, json));
  }

  /** Note in the audit log of this node what was done. */
  async note(about: string): Promise<void> {
    const at = Date.now();
    const entry = { id: newQueueId(at), at, by: operator().slice(0, 255), node: this.#options.config.node.name };
    const change = { service: 'credential-store', operation: 'restore', about, outcome: 'done' };
    await this.#store?.audit.append({ ...entry, ...change });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { config, owner } = this.#options;
    if (this.#store === undefined) return;
    await this.#store[Symbol.asyncDispose]();
    if (owner !== undefined) await giveTo(folderOf(config), owner);
  }

  async #restore(map: RecordMap, json: string): Promise<Restored> {
    const { key, ...history } = parseHistory(json);
    const others = this.#living[map].get(key);
    const found = standing(others, { key, ...history });
    if (others !== undefined && !isRestorable(found)) return { key, standing: found };
    const store = await this.#open();
    return store === undefined ? { key, standing: 'missing' } : store.restore(map, json, this.#options);
  }

  /** When it is needed: where other nodes have everything, nothing is written. Undefined: it would be made. */
  async #open(): Promise<ClosedCredentials | undefined> {
    const { config, dryRun } = this.#options;
    if (this.#store !== undefined) return this.#store;
    if (dryRun && (await ownerOf(folderOf(config))) === undefined) return undefined;
    const settings = new Settings(config);
    // In a dry run they may not be there yet: then no MAC is looked at.
    const neks = await loadNeks(config.credentials.nek).catch((error: unknown) => {
      if (dryRun) return [];
      throw error;
    });
    this.#store = await openClosedCredentials(settings, { neks, log: silentLogger });
    return this.#store;
  }

  #count(one: Restored): void {
    const { counts } = this;
    if ('refused' in one) {
      counts.refused.push({ key: one.key, reason: one.refused });
      return;
    }
    const count: Record<Standing, () => unknown> = {
      missing: () => counts.restored++,
      newer: () => counts.restored++,
      same: () => counts.same++,
      older: () => counts.older++,
      differs: () => counts.differs.push(one.key),
    };
    count[one.standing]();
  }
}

const folderOf = ({ node }: Config): string => join(node.data, 'credentials');

async function historiesOf(living: Caller, map: RecordMap): Promise<Map<string, RecordHistory>> {
  const histories = new Map<string, RecordHistory>();
  for await (const { records } of askRecords(living, map)) {
    for (const json of records) {
      const { key, version, writeId, previous } = parseHistory(json);
      histories.set(key, { key, version, writeId, previous });
    }
  }
  return histories;
}
