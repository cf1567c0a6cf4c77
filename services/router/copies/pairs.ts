import type { ReplicatedMap } from '#cluster/replicated-map.ts';
import type { Settings } from '#cluster/settings.ts';
import type { Calls } from '#cluster/topology.ts';
import { asPair, type ClaimRecord, giveUp, open, type Pair, pairKey } from '#services/router/copies/claims.ts';
import type { LeaseWatch } from '#services/router/copies/lease-watch.ts';
import { Outbox } from '#services/router/copies/outbox.ts';
import type { OwnLease } from '#services/router/copies/own-lease.ts';
import type { CopyPlace } from '#services/router/records.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The pairs of this store as an owner: which holders there are, what goes to them, and whether a message that has its
 * copy in one of them may be delivered here (claims.ts has the states).
 */

export type PairsParts = {
  settings: Settings;
  log: Logger;
  /** The name of the own store. */
  own: string;
  map: ReplicatedMap<ClaimRecord>;
  watch: LeaseWatch;
  lease: OwnLease;
  router: Calls<'router', 'router'>;
  /** Copies of this generation and of earlier ones are void. */
  onVoid: (holder: string, generation: number) => void;
};

export class Pairs {
  readonly #parts: PairsParts;
  readonly #outboxes = new Map<string, Outbox>();
  /** Holders to be given up, and why. */
  readonly #ending = new Map<string, string>();
  /** Stores whose disk is gone, though their lease may not have run out. */
  readonly #gone = new Set<string>();
  #working = false;
  #turn = 0;

  constructor(parts: PairsParts) {
    this.#parts = parts;
  }

  /** The holder that has the least to do, but for those named. */
  choose(without: readonly Outbox[] = []): Outbox | undefined {
    const { watch } = this.#parts;
    const candidates = [...this.#outboxes.values()].filter(
      (o) => !o.ill && watch.lease(o.place.store)?.state === 'serving' && !without.includes(o) && this.#isOpen(o.place),
    );
    const least = Math.min(...candidates.map((o) => o.load));
    const equal = candidates.filter((o) => o.load === least);
    return equal[this.#turn++ % equal.length];
  }

  /** The way to a copy; undefined when the pair has ended. */
  outbox(place: CopyPlace | undefined): Outbox | undefined {
    if (place === undefined) return undefined;
    const outbox = this.#outboxes.get(place.store);
    return outbox?.place.generation === place.generation ? outbox : undefined;
  }

  /** Why a message with its copy there must not be delivered here now, if there is a reason. */
  obstacle(place: CopyPlace): string | undefined {
    const pair = this.pair(place.store);
    if (pair === undefined) return `what became of its copy on node ${place.node} is not known yet`;
    if (pair.generation > place.generation) return undefined;
    if (pair.state === 'claimed') return `node ${place.node} took the message over`;
    if (this.#parts.lease.held) return undefined;
    return `this node lost touch with the cluster: node ${place.node}, which has a copy, may take the message over`;
  }

  /** Whether a copy there counts. */
  isValid(place: CopyPlace): boolean {
    const pair = this.pair(place.store);
    return pair === undefined || pair.generation === place.generation;
  }

  pair(holder: string): Pair | undefined {
    return asPair(this.#parts.map.get(pairKey(this.#parts.own, holder))?.value);
  }

  /** Open pairs with whoever lives, where copies are `wanted`; close those that have ended, give up who is silent. */
  async tick(wanted: boolean): Promise<void> {
    for (const [holder, outbox] of this.#outboxes) {
      if (this.#isOpen(outbox.place)) continue;
      this.#outboxes.delete(holder);
      outbox.close();
    }
    if (this.#working || this.#parts.map.state !== 'following') return;
    this.#working = true;
    try {
      await this.#giveUpSilent();
      if (wanted) await this.#openLiving();
    } catch (error) {
      this.#parts.log.debug({ reason: errorText(error) }, 'pairs could not be changed');
    } finally {
      this.#working = false;
    }
  }

  close(): void {
    for (const outbox of this.#outboxes.values()) outbox.close();
    this.#outboxes.clear();
  }

  #isOpen(place: CopyPlace): boolean {
    const pair = this.pair(place.store);
    return pair?.state === 'open' && pair.generation === place.generation;
  }

  async #openLiving(): Promise<void> {
    const { watch, map, own, settings } = this.#parts;
    for (const { store, node } of watch.living()) {
      // A second copy on the own machine is none.
      if (node === settings.current.node.name || this.#ending.has(store) || this.#gone.has(store)) continue;
      const pair = this.pair(store);
      if (pair !== open(pair)) {
        await map.update(pairKey(own, store), (record) => {
          const before = asPair(record);
          const after = open(before);
          return after === before ? record : after;
        });
      }
      const opened = this.pair(store);
      if (opened?.state === 'open' && !this.#outboxes.has(store)) this.#connect(store, node, opened.generation);
    }
  }

  #connect(holder: string, node: string, generation: number): void {
    const { own, router, log } = this.#parts;
    const pair = { owner: own, holder, generation };
    const outbox = new Outbox({
      ...{ pair, place: { store: holder, node, generation }, log },
      send: async (changes, bytes) => void (await router.mirror({ ...pair, changes }, { node, bytes })),
      onEnd: (code) => {
        // `superseded`: the news of it is on its way through the map.
        if (code !== 'superseded') this.#ending.set(holder, code);
        if (code === 'other-store') this.#gone.add(holder);
      },
    });
    this.#outboxes.set(holder, outbox);
    log.info({ holder: node, store: holder, generation }, 'second copies go there');
  }

  async #giveUpSilent(): Promise<void> {
    const { watch, map, own, log, onVoid } = this.#parts;
    for (const { key, value } of map.entries()) {
      const [kind, owner, holder = ''] = key.split('.');
      const pair = asPair(value);
      if (kind !== 'pair' || owner !== own || giveUp(pair) === pair) continue;
      const lease = watch.lease(holder);
      const why =
        this.#ending.get(holder) ??
        (watch.silent(holder) !== undefined ? 'silent' : lease?.state === 'drained' ? 'drained' : undefined);
      if (why === undefined) continue;
      const { value: after } = await map.update(key, (record) => {
        const before = asPair(record);
        const next = giveUp(before);
        return next === before ? record : next;
      });
      this.#ending.delete(holder);
      const closed = asPair(after);
      this.#outboxes.get(holder)?.close();
      this.#outboxes.delete(holder);
      if (closed?.state !== 'closed') continue;
      log.warn({ holder: lease?.node, store: holder, why }, 'copies there count no more: their mail gets new ones');
      onVoid(holder, closed.generation - 1);
    }
  }
}
