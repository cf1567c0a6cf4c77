import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { asLease, type ClaimRecord, type Lease, leaseKey, parseKey } from './claims.ts';

/**
 * Which of the other stores are live, by their leases.
 *
 * A store is silent when its lease was not renewed for as long as the lease itself says, and this node followed the map
 * all that time: while this node could not have heard a renewal, silence proves nothing. The time starts again with every
 * interruption, so after an outage of NATS, or a start, every store has its whole time to renew.
 *
 * This is not the table of cluster/members/heard.ts, because the promise is the opposite one: there silence proves
 * nothing, here it is what a take-over rests on. So it is the versions of a replicated record that count, which are the
 * same on every node and which a claim can compare; seeing a record again is not a sign of life; each lease has its
 * own time-out; and one interruption makes everything unknown.
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

  /** The version of a lease as it is in the map now: another one than before means that the store renewed it. */
  version(store: string): number | undefined {
    return this.#map.get(leaseKey(store))?.version;
  }

  /**
   * The version of a lease that ran out; undefined while its store may be live, or this is not known. A renewal may still
   * be on its way, above all when this process itself stood still: a change that relies on the silence compares the
   * version again when it is made.
   */
  silent(store: string): number | undefined {
    const seen = this.#seen.get(store);
    const lease = this.lease(store);
    if (seen === undefined || lease === undefined) return undefined;
    return this.#now() - seen.at > lease.after ? seen.version : undefined;
  }

  /** ms until a store that renews its lease no more counts as silent; undefined while this is not known. */
  remaining(store: string): number | undefined {
    const seen = this.#seen.get(store);
    const lease = this.lease(store);
    return seen === undefined || lease === undefined ? undefined : Math.max(0, lease.after - (this.#now() - seen.at));
  }

  /** The stores that are being served, as far as is known, and their nodes. */
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
