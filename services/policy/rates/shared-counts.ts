import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import { LivePeers, type PeerBus } from '#cluster/members/peers.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { EventPayload } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import type { Rate } from '#shared/units.ts';
import { MOST_COUNTS, type PolicyContract } from '../contract.ts';
import { type Count, counted, SlidingCounts, type Sums, waitFor } from './sliding-counts.ts';

/**
 * Counts of recent events through all nodes together.
 *
 * Each policy service counts what it saw, and tells the others within `SOON_MS`: the sum counts. So a client that uses all
 * nodes concurrently gets no more than a moment's worth above its limit. The counts of an instance that died stay with the
 * others until their windows are over.
 *
 * Keys are kept by what they are about (`Subject`), so that many of one sort, which strangers can make up, do not push out
 * those of another. Memory is bounded: at most `MOST_KEYS` counts of each sort and instance.
 */

/** Counts are told at most this long after the first that changed, in ms. */
const SOON_MS = 100;
const MOST_KEYS = 10_000;
/** Instances whose counts are kept, also those that died recently: far more than a cluster has. */
const MOST_INSTANCES = 64;

/** The first word of a key. */
export type Subject = 'messages' | 'recipients' | 'failures' | 'log-ins';

type Announced = EventPayload<PolicyContract, 'counts'>;

export type CountsBus = PeerBus<PolicyContract, 'counts'>;

export type SharedCountsDeps = {
  settings: Settings;
  /** Undefined: this policy service is the only one. */
  peers: CountsBus | undefined;
  /** ms since 1970, the same on all nodes. */
  now?: (() => number) | undefined;
  /** Milliseconds of a clock that never jumps. */
  clock?: (() => number) | undefined;
};

export class SharedCounts {
  readonly #settings: Settings;
  readonly #bus: CountsBus | undefined;
  readonly #now: () => number;
  readonly #instance = newId();
  readonly #peers: LivePeers<true>;
  readonly #loop = new AnnounceLoop(() => this.#say(false));
  readonly #own = new Counts();
  /** What the others have counted, by instance; the one heard last comes last. */
  readonly #others = new BoundedMap<string, Counts>(MOST_INSTANCES);
  /** What was counted since this instance was cut off. */
  #apart: Counts | undefined;
  /** Keys of own counts that the others do not know yet. */
  readonly #untold = new Set<string>();
  #stopHearing: (() => void) | undefined;

  constructor({ settings, peers, now = Date.now, clock }: SharedCountsDeps) {
    this.#settings = settings;
    this.#bus = peers;
    this.#now = now;
    this.#peers = new LivePeers({ bus: peers, clock });
  }

  start(): void {
    if (this.#bus === undefined) return;
    this.#stopHearing = this.#bus.hear('counts', (heard) => this.#hear(heard));
    this.#loop.start();
  }

  stop(): void {
    if (this.#stopHearing === undefined) return;
    this.#stopHearing();
    this.#loop.stop(() => this.#say(true));
  }

  /** Count one more, in windows of `per` ms. */
  add(key: `${Subject} ${string}`, per: number): void {
    const time = this.#now();
    this.#own.of(key).add(key, per, time);
    this.#apart?.of(key).add(key, per, time);
    if (this.#bus === undefined) return;
    this.#untold.add(key);
    this.#loop.within(SOON_MS);
  }

  /** How many there were within `per` ms, as far as all nodes have counted; not a whole number while the count slides. */
  counted(key: `${Subject} ${string}`, per: number): number {
    const time = this.#now();
    return counted(this.#total(key, per, time), per, time);
  }

  /** The ms until one more is within the rate, as far as all nodes have counted. */
  wait(key: `${Subject} ${string}`, { count, per }: Rate): number {
    const time = this.#now();
    return waitFor(this.#total(key, per, time), count, per, time);
  }

  /**
   * As `wait`, for what must not pass unseen: an instance that is cut off (cluster/members/peers.ts) does not hear what the
   * others count. From then on it lets pass at most its part of the limit, by the last known number of nodes and at least
   * one, and never more than what was left as far as it knows.
   */
  strictWait(key: `${Subject} ${string}`, rate: Rate): number {
    const wait = this.wait(key, rate);
    const { standing } = this.#peers;
    if (standing.kind !== 'apart') {
      if (standing.kind !== 'listening') this.#apart = undefined;
      return wait;
    }
    const { count, per } = rate;
    const time = this.#now();
    this.#apart ??= new Counts();
    const part = Math.max(1, Math.floor(count / standing.of));
    return Math.max(wait, waitFor(this.#apart.of(key).sums(key, per, time), part, per, time));
  }

  /** Tell the others what they do not know yet: each second, also if that is nothing. */
  tell(): void {
    this.#loop.now();
  }

  #total(key: string, per: number, time: number): Sums {
    const total: Sums = this.#own.of(key).sums(key, per, time);
    for (const counts of this.#others.values()) {
      const { now, before } = counts.of(key).sums(key, per, time);
      total.now += now;
      total.before += before;
    }
    return total;
  }

  #hear({ node, instance, leaving, counts }: Announced): void {
    if (instance === this.#instance) return;
    const known = this.#others.get(instance) ?? new Counts();
    this.#others.set(instance, known);
    for (const { key, ...count } of counts) known.of(key).set(key, count satisfies Count);
    if (leaving) this.#peers.leave(node);
    // A newcomer knows nothing of what was counted.
    else if (this.#peers.hear(node, true)) for (const key of this.#own.keys()) this.#untold.add(key);
  }

  #say(leaving: boolean): void {
    this.#peers.look();
    const counts: Announced['counts'] = [];
    for (const key of this.#untold) {
      const count = this.#own.of(key).get(key);
      if (count !== undefined) counts.push({ key, ...count });
    }
    this.#untold.clear();
    do {
      const part = counts.splice(0, MOST_COUNTS);
      this.#bus?.announce('counts', {
        node: this.#settings.current.node.name,
        instance: this.#instance,
        leaving,
        counts: part,
      });
    } while (counts.length > 0);
  }
}

/** The counts of one instance: those of each sort apart. */
class Counts {
  readonly #limits = new SlidingCounts(MOST_KEYS);
  readonly #failures = new SlidingCounts(MOST_KEYS);
  readonly #logIns = new SlidingCounts(MOST_KEYS);

  of(key: string): SlidingCounts {
    if (key.startsWith('failures ')) return this.#failures;
    return key.startsWith('log-ins ') ? this.#logIns : this.#limits;
  }

  *keys(): Iterable<string> {
    for (const counts of [this.#limits, this.#failures, this.#logIns]) yield* counts.keys();
  }
}
