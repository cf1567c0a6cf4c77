import { describeNek, describeNeks, findNek, type Nek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Holder, NekStatus } from '#shared/keys/holders.ts';
import type { Logger } from '#shared/log.ts';
import type { NekList } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';
import { assertOpenable, countKeys, entryOf, mismatch, type NekEntry } from './nek-check.ts';
import { pendingKeys, rewrapPending, type Unopened, wrappedKeys } from './rewrap.ts';

/**
 * The named encryption keys (NEKs) of the cluster. The NEKs themselves are in the configuration of each node and nowhere
 * else; the store records their names and which one is current: it wraps new keys, and all other keys are re-wrapped
 * with it (`rewrap.ts`).
 */
export type NeksDeps = {
  node: string;
  log: Logger;
  records: NekRecords;
  /** The NEKs in the configuration of this node as it is now. */
  configured: () => Promise<Nek[]>;
  /** The live processes; undefined while that is not known. */
  live: () => Holder[] | undefined;
  /** Records of the directory: how many hashes a NEK wraps, and how many records have no MAC by it. */
  directory: {
    wrappedBy: (nek: string) => number;
    without: (nek: string) => number;
    /** The live processes of policy that open hashes. */
    readers: () => { node: string; neks: string[] }[];
  };
};
type NekRecords = Pick<Records, 'all' | 'neks' | 'update' | 'updateNeks' | 'without' | 'reseal'>;

export class Neks {
  readonly #deps: NeksDeps;
  #resuming = false;
  /** Something changed since `resume` began. */
  #again = false;
  #reported = '';

  constructor(deps: NeksDeps) {
    this.#deps = deps;
  }

  /**
   * The NEK that wraps new keys. A store that has none yet is initialized with the one that is configured. Fails with
   * `no-nek` when none is configured or the choice among several is open, and with `nek-mismatch` when this node lacks it.
   */
  async current(): Promise<Nek> {
    const neks = await this.#configured();
    let list = this.#deps.records.neks();
    if (list === undefined) {
      const [nek, ...others] = neks;
      if (nek === undefined)
        throw noNek('none is configured: make one with "sealpost keys nek <name>", then set credentials.nek');
      if (others.length > 0) {
        throw noNek(
          `the store has none yet, and several are configured, ${describeNeks(neks)}: say which one with "sealpost keymgmt create credstore <name>"`,
        );
      }
      list = await this.#initialize(nek, (list) => list);
    }
    const current = findNek(neks, list.current);
    if (current === undefined) throw mismatch([entryOf(list, list.current)], neks);
    return current;
  }

  /**
   * Initialize the store with a NEK. Fails with `exists` when it is initialized, `no-nek` when this node has no NEK of
   * the name.
   */
  async use(name: string): Promise<NekStatus> {
    const nek = named(await this.#configured(), name);
    const list = await this.#initialize(nek, (existing) => {
      const current = describeNek(entryOf(existing, existing.current));
      throw new SealpostError(
        'exists',
        `the store already uses NEK ${current}: "sealpost keymgmt rotate nek <name>" replaces it`,
      );
    });
    return this.#status(entryOf(list, nek.fingerprint), list);
  }

  /** Record the first NEK; where there is a list by now, the result is that of `otherwise`. */
  async #initialize(nek: Nek, otherwise: (existing: NekList) => NekList): Promise<NekList> {
    const { records, log } = this.#deps;
    const neks = await this.#configured();
    const first = { name: nek.name, fingerprint: nek.fingerprint, since: Date.now() };
    let mine = false;
    const { neks: list } = await records.updateNeks((existing) => {
      mine = existing === undefined;
      if (existing !== undefined) return otherwise(existing);
      // Never initialize the store beside keys that nobody can open.
      assertOpenable(records, neks);
      return { neks: [first], current: nek.fingerprint };
    });
    if (mine) log.info({ nek: describeNek(nek) }, 'credential-store initialized with this named encryption key');
    return list;
  }

  /**
   * Make another NEK the current one and re-wrap every key with it; a repetition finishes what was interrupted.
   * `rewrapped` is the number of keys that were re-wrapped. Hashes of
   * passwords follow (directory/rewrap.ts). Fails with `no-nek`, with `nek-missing-on-node`, which names
   * the live nodes that lack it, and with `nek-mismatch` when this node cannot open every key. After `no-quorum` the NEK
   * may already be the current one: then the rest follows without another order.
   */
  async rotate(name: string): Promise<{ nek: NekStatus; rewrapped: number }> {
    const { records, log } = this.#deps;
    const neks = await this.#configured();
    const nek = named(neks, name);
    this.#assertEverywhere(nek);
    await records.updateNeks((list) => {
      assertOpenable(records, neks);
      return list?.current === nek.fingerprint ? list : withCurrent(list, nek);
    });
    const before = pendingKeys(records).length;
    const unopened = await rewrapPending(records, neks);
    this.#report(unopened);
    await records.reseal(nek.fingerprint);
    const rewrapped = before - unopened.length;
    log.info({ nek: describeNek(nek), rewrapped }, 'named encryption key is current');
    const list = records.neks();
    if (list === undefined) throw new SealpostError('store-failed', 'the list of named encryption keys is gone');
    return { nek: this.#status(entryOf(list, nek.fingerprint), list), rewrapped };
  }

  /** Remove a NEK. Fails with `not-found`, and with `in-use` while it is current or wraps keys. */
  async delete(name: string): Promise<void> {
    const { records, log, directory } = this.#deps;
    await records.updateNeks((list) => {
      const entry = list?.neks.find((n) => n.name === name);
      if (list === undefined || entry === undefined) {
        throw new SealpostError('not-found', `the store knows no NEK ${name}, only ${describeNeks(list?.neks ?? [])}`);
      }
      const keys = wrappedKeys(records).filter((k) => k.wrapped.nekFingerprint === entry.fingerprint);
      const current = list.current === entry.fingerprint;
      if (current || keys.length > 0) {
        const uses = `NEK ${describeNek(entry)} ${current ? 'is the current one and ' : ''}wraps ${countKeys(keys.length)}`;
        throw new SealpostError('in-use', `${uses}: "sealpost keymgmt rotate nek <name>" puts keys under another one`);
      }
      const hashes = directory.wrappedBy(entry.fingerprint);
      if (hashes > 0) {
        const text = `NEK ${describeNek(entry)} wraps ${hashes} password hashes, which get the current one now: try again in a while`;
        throw new SealpostError('in-use', text);
      }
      const unsealed = records.without(list.current) + directory.without(list.current);
      if (unsealed > 0) {
        const text = `${unsealed} records have no MAC by the current NEK yet and get it now: try again in a minute`;
        throw new SealpostError('in-use', text);
      }
      return { ...list, neks: list.neks.filter((n) => n !== entry) };
    });
    log.info({ nek: name }, 'named encryption key deleted from the store: it may be removed from credentials.nek');
  }

  /** Every NEK that the store knows, the oldest first. */
  statuses(): NekStatus[] {
    const list = this.#deps.records.neks();
    return list === undefined ? [] : list.neks.map((entry) => this.#status(entry, list));
  }

  /**
   * Finish an interrupted re-wrapping; to be called repeatedly. One node does it, the first live one with all the NEKs that
   * are needed; two concurrent ones would do no harm. Never rejects.
   */
  async resume(): Promise<void> {
    this.#again = true;
    if (this.#resuming) return;
    this.#resuming = true;
    try {
      while (this.#again && this.#isMine()) {
        this.#again = false;
        await this.#finish();
      }
    } catch (error) {
      this.#deps.log.warn(
        { error: errorText(error) },
        'keys could not be re-wrapped yet; the next try is at the next change',
      );
    } finally {
      this.#resuming = false;
    }
  }

  async #finish(): Promise<void> {
    const { records, configured, log } = this.#deps;
    const before = pendingKeys(records).length;
    const unopened = await rewrapPending(records, await configured());
    this.#report(unopened);
    const rewrapped = before - unopened.length;
    if (rewrapped > 0) log.info({ rewrapped }, 'keys re-wrapped with the current named encryption key');
  }

  /** Whether some keys must be re-wrapped, and by this node. */
  #isMine(): boolean {
    const { records, live, node } = this.#deps;
    const pending = pendingKeys(records);
    const current = records.neks()?.current;
    if (pending.length === 0 || current === undefined) return false;
    const needed = new Set([current, ...pending.map((k) => k.wrapped.nekFingerprint)]);
    const able = live()?.filter((h) => h.kind === 'credential-store' && [...needed].every((n) => h.neks.includes(n)));
    return able?.map((h) => h.node).toSorted()[0] === node;
  }

  /** Each reason once, until it changes. */
  #report(unopened: Unopened[]): void {
    const reported = unopened.map((l) => `${l.selector}._domainkey.${l.domain}: ${l.error}`).join('\n');
    if (reported === this.#reported) return;
    this.#reported = reported;
    for (const key of unopened)
      this.#deps.log.error(key, 'key cannot be re-wrapped and stays under its old named encryption key');
  }

  #assertEverywhere(nek: Nek): void {
    const live = this.#deps.live();
    if (live === undefined) {
      throw new SealpostError(
        'no-quorum',
        'this node does not know yet which other nodes are live: try again in a few seconds',
      );
    }
    const readers = [...live, ...this.#deps.directory.readers()];
    const lacking = nodesOf(readers.filter((h) => !h.neks.includes(nek.fingerprint)));
    if (lacking.length === 0) return;
    throw new SealpostError(
      'nek-missing-on-node',
      `NEK ${describeNek(nek)} is not in the configuration (credentials.nek) of ${lacking.join(', ')}: add it there, and keep the old one`,
    );
  }

  async #configured(): Promise<Nek[]> {
    try {
      return await this.#deps.configured();
    } catch (error) {
      throw noNek(errorText(error));
    }
  }

  #status(entry: NekEntry, list: NekList): NekStatus {
    const { directory } = this.#deps;
    const live = [...(this.#deps.live() ?? []), ...directory.readers()];
    const lacking = nodesOf(live.filter((h) => !h.neks.includes(entry.fingerprint)));
    return {
      ...entry,
      current: entry.fingerprint === list.current,
      passwords: directory.wrappedBy(entry.fingerprint),
      keys: wrappedKeys(this.#deps.records).filter((k) => k.wrapped.nekFingerprint === entry.fingerprint).length,
      having: nodesOf(live).filter((node) => !lacking.includes(node)),
      lacking,
    };
  }
}

function withCurrent(list: NekList | undefined, nek: Nek): NekList {
  const { name, fingerprint } = nek;
  const others = list?.neks ?? [];
  const same = others.find((n) => n.name === name && n.fingerprint !== fingerprint);
  if (same !== undefined) {
    throw new SealpostError(
      'nek-mismatch',
      `the store knows another NEK of this name, ${describeNek(same)}: make one with a new name`,
    );
  }
  const known = others.some((n) => n.fingerprint === fingerprint);
  return { neks: known ? others : [...others, { name, fingerprint, since: Date.now() }], current: fingerprint };
}

function named(neks: readonly Nek[], name: string): Nek {
  const nek = neks.find((n) => n.name === name);
  if (nek !== undefined) return nek;
  throw noNek(`this node has no NEK ${name} in its configuration (credentials.nek), only ${describeNeks(neks)}`);
}

const noNek = (reason: string): SealpostError => new SealpostError('no-nek', `no named encryption key: ${reason}`);

const nodesOf = (holders: { node: string }[]): string[] => [...new Set(holders.map((h) => h.node))].toSorted();
