import { endsWithin } from '#cluster/bus/bus.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { asLease, type ClaimRecord, type Lease, leaseKey } from './claims.ts';

/**
 * This store's lease: the right to deliver mail that has a copy elsewhere.
 *
 *   none → held ⇄ lost
 *
 * held: the last renewal that the cluster took was begun less than HELD of `after` ago. Other nodes wait the whole of
 *   `after` from the moment they saw it, so the rest of it lies between the end of the lease and a take-over: room for
 *   clocks of different speed and for a message that is just being sent.
 * lost: the cluster has taken no renewal for that long. Only the passing of time leads here.
 *
 * Both clocks count: the monotonic one stands still while a virtual machine is suspended, the wall clock can be set.
 */

/** Part of `after` for which the lease is held after a renewal. */
const HELD = 0.6;
/** How long a stop may wait for its last renewal. */
const STOP_MS = 2000;
/** Renewals in the time `after`. */
const RENEWALS = 8;

export type OwnLeaseDeps = {
  map: ReplicatedMap<ClaimRecord>;
  store: string;
  node: () => string;
  /** The silence after which others may take over. */
  afterMs: () => number;
  log: Logger;
  /**
   * Called after each renewal: everything before it in the map has been seen. `regained`: the lease was not held
   * before.
   */
  onRenewed: (regained: boolean) => void;
};

export class OwnLease {
  readonly #deps: OwnLeaseDeps;
  #monotonic = Number.NEGATIVE_INFINITY;
  #wall = Number.NEGATIVE_INFINITY;
  #heldMs = 0;
  #wasHeld = false;
  #renewing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #state: Lease['state'] = 'serving';
  #stopped = false;

  constructor(deps: OwnLeaseDeps) {
    this.#deps = deps;
  }

  get held(): boolean {
    return performance.now() < this.#monotonic + this.#heldMs && Date.now() < this.#wall + this.#heldMs;
  }

  /** When it was last renewed, ms since 1970; undefined: not since the start. */
  get renewed(): number | undefined {
    return Number.isFinite(this.#wall) ? this.#wall : undefined;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#tick(), 0);
  }

  /** Tell the others that the queue was handed over. Rejects as `ReplicatedMap.update` does. */
  async drained(): Promise<void> {
    this.#state = 'drained';
    await this.renew();
  }

  /** Renew now. Rejects as `ReplicatedMap.update` does. */
  async renew(): Promise<void> {
    const { map, store, node, afterMs } = this.#deps;
    const monotonic = performance.now();
    const wall = Date.now();
    const after = afterMs();
    await map.update(leaseKey(store), (record) => ({
      kind: 'lease',
      node: node(),
      beat: (asLease(record)?.beat ?? 0) + 1,
      after,
      state: this.#state,
    }));
    const regained = !this.held;
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#heldMs = after * HELD;
    if (!this.#wasHeld)
      this.#deps.log.info({ store }, 'lease acquired: this node may deliver mail that has a copy elsewhere');
    this.#wasHeld = true;
    this.#deps.onRenewed(regained);
  }

  /** Stop renewing, and tell the others, if they can be told soon, that this store takes no copies. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#timer === undefined || this.#deps.map.state !== 'following') return;
    if (this.#state === 'serving') this.#state = 'stopped';
    await endsWithin(STOP_MS, this.renew());
  }

  #tick(): void {
    if (this.#wasHeld && !this.held) {
      this.#wasHeld = false;
      this.#deps.log.warn(
        { error: this.#deps.map.problem },
        'lease lost: mail that has a copy elsewhere waits, and another node may take it over',
      );
    }
    this.#renewing ??= this.renew()
      .catch((error: unknown) => this.#deps.log.debug({ error: errorText(error) }, 'lease could not be renewed'))
      .finally(() => {
        this.#renewing = undefined;
      });
    if (!this.#stopped) this.#timer = setTimeout(() => this.#tick(), this.#deps.afterMs() / RENEWALS).unref();
  }
}
