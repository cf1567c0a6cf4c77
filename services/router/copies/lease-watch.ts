import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { asLease, type ClaimRecord, type Lease, leaseKey, parseKey } from './claims.ts';

/**
 * Which of the other stores live, by their leases.
 *
 * A store counts as silent when its beat has not changed for as long as its lease says, all of which time this node
 * followed the map: silence that nobody could have broken proves nothing. It begins anew with every interruption, so
 * after an outage of NATS, or a start, every store has its whole time to say that it lives.
 */

type Seen = { version: number; at: number };

export class LeaseWatch {
  readonly #map: ReplicatedMap<ClaimRecord>;
  readonly #own: string;
  readonly #seen = new Map<string, Seen>();
  readonly #now: () => number;

  constructor(map: ReplicatedMap<ClaimRecord>, own: string, now: () => number = () => performance.now()) {
    this.#map = map;
    this.#own = own;
    this.#now = now;
  }

  /** Look at the map; to be called several times in the shortest lease. */
  look(): void {
    if (this.#map.state !== 'following') {
      this.#seen.clear();
      return;
    }
    const now = this.#now();
    for (const { key, version } of this.#map.entries()) {
      const name = parseKey(key);
      if (name === undefined || !('lease' in name) || name.lease === this.#own) continue;
      if (this.#seen.get(name.lease)?.version !== version) this.#seen.set(name.lease, { version, at: now });
    }
  }

  lease(store: string): Lease | undefined {
    return asLease(this.#map.get(leaseKey(store))?.value);
  }

  /** The version of a lease as it is in the map now: another one than before means that the store has beaten. */
  version(store: string): number | undefined {
    return this.#map.get(leaseKey(store))?.version;
  }

  /**
   * The version of a lease that ran out; undefined while it may live, or this is not known. News of it may be on the way
   * still, above all when this process stood still itself: a change that relies on the silence compares the version
   * once more when it is made.
   */
  silent(store: string): number | undefined {
    const seen = this.#seen.get(store);
    const lease = this.lease(store);
    if (seen === undefined || lease === undefined) return undefined;
    return this.#now() - seen.at > lease.after ? seen.version : undefined;
  }

  /** The stores that are served, as far as is known, and their nodes. */
  living(): { store: string; node: string }[] {
    const found: { store: string; node: string }[] = [];
    for (const store of this.#seen.keys()) {
      const lease = this.lease(store);
      if (lease?.state !== 'serving' || this.silent(store) !== undefined) continue;
      found.push({ store, node: lease.node });
    }
    return found;
  }
}
