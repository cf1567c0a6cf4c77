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
 * held: the last beat that the cluster took was begun less than HELD of `after` ago. Others wait the whole of `after`
 *   from the moment they saw it, so between the end here and the take-over there lies the rest of it: room for clocks of
 *   different speed and for a message that is just being sent.
 * lost: the cluster has taken no beat for that long. Entered by the passing of time alone.
 *
 * Both clocks are asked: the monotonic one stands still while a virtual machine is suspended, the wall clock can be set.
 */

/** Part of `after` in which the lease is held after a beat. */
const HELD = 0.6;
/** How long a stop may wait for its last beat, in ms. */
const STOP_MS = 2000;
/** Beats in that time `after`. */
const BEATS = 8;

export type OwnLeaseDeps = {
  map: ReplicatedMap<ClaimRecord>;
  store: string;
  node: () => string;
  /** ms of silence after which others may take over. */
  after: () => number;
  log: Logger;
  /** Called after each beat: everything before it in the map has been seen. `regained`: it was not held before. */
  onBeat: (regained: boolean) => void;
};

export class OwnLease {
  readonly #deps: OwnLeaseDeps;
  #monotonic = Number.NEGATIVE_INFINITY;
  #wall = Number.NEGATIVE_INFINITY;
  #length = 0;
  #wasHeld = false;
  #beating: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #state: Lease['state'] = 'serving';
  #stopped = false;

  constructor(deps: OwnLeaseDeps) {
    this.#deps = deps;
  }

  get held(): boolean {
    return performance.now() < this.#monotonic + this.#length && Date.now() < this.#wall + this.#length;
  }

  /** When it was last renewed, ms since 1970; undefined: never since the start. */
  get renewed(): number | undefined {
    return Number.isFinite(this.#wall) ? this.#wall : undefined;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#tick(), 0);
  }

  /** Tell the others that the queue was handed over. Rejects as `ReplicatedMap.update` does. */
  async drained(): Promise<void> {
    this.#state = 'drained';
    await this.beat();
  }

  /** Renew now. Rejects as `ReplicatedMap.update` does. */
  async beat(): Promise<void> {
    const { map, store, node, after } = this.#deps;
    const monotonic = performance.now();
    const wall = Date.now();
    const length = after();
    await map.update(leaseKey(store), (record) => ({
      kind: 'lease',
      node: node(),
      beat: (asLease(record)?.beat ?? 0) + 1,
      after: length,
      state: this.#state,
    }));
    const regained = !this.held;
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#length = length * HELD;
    if (!this.#wasHeld) this.#deps.log.info({ store }, 'the cluster knows that this queue is served here');
    this.#wasHeld = true;
    this.#deps.onBeat(regained);
  }

  /** Beat no more, and tell the others, if they can be told soon, that this store takes no copies. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#timer === undefined || this.#deps.map.state !== 'following') return;
    if (this.#state === 'serving') this.#state = 'stopped';
    await endsWithin(STOP_MS, this.beat());
  }

  #tick(): void {
    if (this.#wasHeld && !this.held) {
      this.#wasHeld = false;
      this.#deps.log.warn(
        { problem: this.#deps.map.problem },
        'the cluster has not heard of this node for long: mail that has a copy elsewhere waits, another node may take it over',
      );
    }
    this.#beating ??= this.beat()
      .catch((error: unknown) => this.#deps.log.debug({ reason: errorText(error) }, 'no beat'))
      .finally(() => {
        this.#beating = undefined;
      });
    if (!this.#stopped) this.#timer = setTimeout(() => this.#tick(), this.#deps.after() / BEATS).unref();
  }
}
