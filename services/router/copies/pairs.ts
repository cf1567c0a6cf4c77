import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Calls } from '#services/topology.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { CopyPlace } from '../store/records.ts';
import { asPair, type ClaimRecord, changePair, giveUp, open, type Pair, pairKey, parseKey } from './claims.ts';
import type { LeaseWatch } from './lease-watch.ts';
import { Outbox } from './outbox.ts';
import type { OwnLease } from './own-lease.ts';

/**
 * The pairs of this store as an owner: which holders there are, what goes to them, and whether this node may deliver a
 * message that has its copy in one of them (claims.ts has the states).
 */

export type PairsDeps = {
  settings: Settings;
  log: Logger;
  /** The name of this node's store. */
  own: string;
  map: ReplicatedMap<ClaimRecord>;
  watch: LeaseWatch;
  lease: OwnLease;
  router: Calls<'router', 'router'>;
  /** Copies of this generation and of earlier ones are void. */
  onVoid: (holder: string, generation: number) => void;
};

export class Pairs {
  readonly #deps: PairsDeps;
  readonly #outboxes = new Map<string, Outbox>();
  /** Holders to be given up, and why. */
  readonly #ending = new Map<string, string>();
  /** Stores whose disk is gone, with the version of the lease that they left: a disk that comes back renews it. */
  readonly #gone = new Map<string, number | undefined>();
  /** The generation of each pair at the last review. */
  readonly #generations = new Map<string, number>();
  #working = false;
  #closed = false;
  #turn = 0;

  constructor(deps: PairsDeps) {
    this.#deps = deps;
  }

  /** The holder that has the least to do, except those named. */
  choose(without: readonly Outbox[] = []): Outbox | undefined {
    const { watch } = this.#deps;
    const candidates = [...this.#outboxes.values()].filter(
      (o) =>
        !o.unreachable &&
        watch.lease(o.place.store)?.state === 'serving' &&
        !without.includes(o) &&
        this.#isOpen(o.place),
    );
    const least = Math.min(...candidates.map((o) => o.load));
    const equal = candidates.filter((o) => o.load === least);
    return equal[this.#turn++ % equal.length];
  }

  /** The way to a copy; undefined where the pair has ended. */
  outbox(place: CopyPlace | undefined): Outbox | undefined {
    if (place === undefined) return undefined;
    const outbox = this.#outboxes.get(place.store);
    return outbox?.place.generation === place.generation ? outbox : undefined;
  }

  /** Whether a holder knows all that happened to the messages of which it has copies. */
  isInSync(holder: string): boolean {
    return this.#outboxes.get(holder)?.empty === true;
  }

  /** The same for all holders. */
  get inSync(): boolean {
    return [...this.#outboxes.values()].every((outbox) => outbox.empty);
  }

  /** Why this node must not deliver a message with its copy there; undefined where it may. */
  obstacle(place: CopyPlace): string | undefined {
    const pair = this.pair(place.store);
    if (pair === undefined) return `what became of its copy on node ${place.node} is not known yet`;
    if (pair.generation > place.generation) return undefined;
    if (pair.state === 'claimed') return `node ${place.node} took the message over`;
    if (this.#deps.lease.held) return undefined;
    return `this node lost touch with the cluster: node ${place.node}, which has a copy, may take the message over`;
  }

  /** Whether a copy there is valid. */
  isValid(place: CopyPlace): boolean {
    const pair = this.pair(place.store);
    return pair === undefined || pair.generation === place.generation;
  }

  pair(holder: string): Pair | undefined {
    return asPair(this.#deps.map.get(pairKey(this.#deps.own, holder))?.value);
  }

  /**
   * Close pairs that have ended, give up holders that are silent, and open pairs with live ones where copies are
   * `wanted`.
   */
  async tick(wanted: boolean): Promise<void> {
    this.#review();
    if (this.#working || this.#deps.map.state !== 'following') return;
    this.#working = true;
    try {
      await this.#giveUpSilent();
      if (wanted) await this.#openLiving();
    } catch (error) {
      this.#deps.log.debug(
        { error: errorText(error) },
        'pairs of owner and holder could not be changed, it is tried again',
      );
    } finally {
      this.#working = false;
    }
    this.#review();
  }

  close(): void {
    this.#closed = true;
    for (const outbox of this.#outboxes.values()) outbox.close();
    this.#outboxes.clear();
  }

  /**
   * Do what the map says, whichever node changed it and whether that was answered or not. Changes for a holder that is
   * away now are kept as well: so every open pair has its outbox.
   */
  #review(): void {
    if (this.#closed) return;
    for (const [holder, outbox] of this.#outboxes) {
      if (this.#isOpen(outbox.place)) continue;
      this.#outboxes.delete(holder);
      this.#ending.delete(holder);
      outbox.close();
    }
    const { watch, onVoid } = this.#deps;
    for (const [holder, pair] of this.#own()) {
      const before = this.#generations.get(holder);
      this.#generations.set(holder, pair.generation);
      if (before !== undefined && pair.generation > before) onVoid(holder, pair.generation - 1);
      const lease = watch.lease(holder);
      if (pair.state === 'open' && lease !== undefined && !this.#outboxes.has(holder))
        this.#connect(holder, lease.node, pair.generation);
    }
  }

  #own(): [string, Pair][] {
    const { map, own } = this.#deps;
    return map.entries().flatMap(({ key, value }): [string, Pair][] => {
      const name = parseKey(key);
      const pair = asPair(value);
      return name !== undefined && 'owner' in name && name.owner === own && pair !== undefined
        ? [[name.holder, pair]]
        : [];
    });
  }

  #isOpen(place: CopyPlace): boolean {
    const pair = this.pair(place.store);
    return pair?.state === 'open' && pair.generation === place.generation;
  }

  async #openLiving(): Promise<void> {
    const { watch, map, own, settings } = this.#deps;
    for (const { store, node } of watch.living()) {
      // A second copy on the same machine does not count.
      if (node === settings.current.node.name || this.#ending.has(store)) continue;
      if (this.#gone.get(store) === watch.version(store)) continue;
      this.#gone.delete(store);
      const pair = this.pair(store);
      if (pair === open(pair)) continue;
      await changePair(map, pairKey(own, store), open);
    }
  }

  #connect(holder: string, node: string, generation: number): void {
    const { own, router, watch, log } = this.#deps;
    const pair = { owner: own, holder, generation };
    const outbox = new Outbox({
      ...{ pair, place: { store: holder, node, generation }, log },
      send: async (changes, bytes) => void (await router['copy-mirror']({ ...pair, changes }, { node, bytes })),
      onEnd: (code) => {
        // `superseded`: the map is about to say so.
        if (code !== 'superseded') this.#ending.set(holder, code);
        if (code === 'other-store') this.#gone.set(holder, watch.version(holder));
      },
    });
    this.#outboxes.set(holder, outbox);
    log.info({ holder: node, store: holder, generation }, 'second copies go to another node');
  }

  async #giveUpSilent(): Promise<void> {
    const { watch, map, own, log } = this.#deps;
    for (const [holder, pair] of this.#own()) {
      if (giveUp(pair) === pair) continue;
      const silent = watch.silent(holder);
      const lease = watch.lease(holder);
      const reason =
        this.#ending.get(holder) ??
        (silent !== undefined ? 'silent' : lease?.state === 'drained' ? 'drained' : undefined);
      if (reason === undefined) continue;
      let given = false;
      await map.update(pairKey(own, holder), (record) => {
        const before = asPair(record);
        // The holder may be live after all: the map calls this with the newest state.
        const lives = reason === 'silent' && watch.version(holder) !== silent;
        const after = lives ? before : giveUp(before);
        given = after !== before;
        return given ? after : record;
      });
      this.#ending.delete(holder);
      if (given)
        log.warn(
          { holder: lease?.node, store: holder, reason },
          'another router was given up as a holder of second copies',
        );
    }
  }
}
