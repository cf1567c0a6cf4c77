import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import { LivePeers, type PeerBus } from '#cluster/members/peers.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { EventPayload } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import type { Rate } from '#shared/units.ts';
import { MOST_COUNTS, type PolicyContract, type SharedCount } from '../contract.ts';
import { type Count, counted, SlidingCounts, type Sums, waitFor } from './sliding-counts.ts';

/**
 * Counts of recent events through all nodes together.
 *
 * Each policy service counts what it saw, and tells the others within `SOON_MS`: the sum counts. So a client that uses all
 * nodes concurrently gets no more than a moment's worth above its limit. The counts of an instance that died stay with the
 * others until their windows are over.
 *
 * A reset (`reset`) sets a key to nothing on all nodes, for good: the counts of an instance that was away, or died, must not
 * come back with it. So each count has the time of the last reset that its instance knew when it counted.
 *
 * - Of a key only those counts are added up whose reset is the newest one that is known.
 * - An instance that hears of a newer reset than its own sets its own count to nothing, takes over the reset, and tells
 *   the others. So a reset spreads with the counts, also from instances that only heard of it, and an instance that comes
 *   back learns of it as of everything else that it missed.
 * - A reset at one instance is later than every one that it knows, whatever the clocks.
 * - The instance of a reset tells it each second for `RESET_TOLD_MS`: one that misses a single event still hears of it.
 *
 * What an instance counts before it has heard of a reset is lost to the count: at most what a client does meanwhile.
 * Instances of the version before know nothing of resets. They go on with what they have, and what they count for a key
 * that was reset does not count elsewhere until they are replaced.
 *
 * Keys are kept by what they are about (`Subject`), so that many of one sort, which strangers can make up, do not push out
 * those of another. Memory is bounded: at most `MOST_KEYS` counts of each sort and instance.
 */

/** Counts are told at most this long after the first that changed, in ms. */
const SOON_MS = 100;
const RESET_TOLD_MS = 10_000;
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
  /** Until when (ms since 1970) a reset of this instance is told each second. */
  readonly #resets = new BoundedMap<string, number>(MOST_COUNTS);
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
    const own = this.#own.of(key);
    own.add(key, per, time, own.has(key) ? 0 : this.#lastReset(key));
    this.#apart?.of(key).add(key, per, time);
    this.#toTell(key);
  }

  /** Set the count of a key to nothing, on all nodes. */
  reset(key: `${Subject} ${string}`): void {
    const time = this.#now();
    this.#reset(key, Math.max(time, this.#lastReset(key) + 1));
    if (this.#bus !== undefined) this.#resets.set(key, time + RESET_TOLD_MS);
  }

  /** What this instance has counted itself, for `restore` after a restart. */
  own(subject: Subject): SharedCount[] {
    const counts = [...this.#own.of(`${subject} `)].filter(([key]) => key.startsWith(`${subject} `));
    return counts.map(([key, count]) => ({ key, ...count }));
  }

  /** Go on from what an instance before this one has counted; what is of another subject is left out. */
  restore(subject: Subject, { key, ...count }: SharedCount): void {
    if (!key.startsWith(`${subject} `)) return;
    this.#own.of(key).set(key, count);
    this.#toTell(key);
  }

  /** The keys of a subject that any instance has counted. */
  keys(subject: Subject): Set<string> {
    const all = [this.#own, ...this.#others.values()].flatMap((counts) => [...counts.of(`${subject} `).keys()]);
    return new Set(all.filter((key) => key.startsWith(`${subject} `)));
  }

  /** How many there were within `per` ms, as far as all nodes have counted; not a whole number while the count slides. */
  counted(key: `${Subject} ${string}`, per: number): number {
    const time = this.#now();
    return counted(this.#total(key, per, time), per, time);
  }

  /** How many there were in the window that runs, as far as all nodes have counted. */
  inWindow(key: `${Subject} ${string}`, per: number): number {
    return this.#total(key, per, this.#now()).now;
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
    let total: Sums = this.#own.of(key).sums(key, per, time);
    for (const counts of this.#others.values()) {
      const other = counts.of(key).sums(key, per, time);
      if (other.reset < total.reset) continue;
      if (other.reset > total.reset) {
        total = other;
      } else {
        total.now += other.now;
        total.before += other.before;
      }
    }
    return total;
  }

  /** The newest reset that is known; 0: none. */
  #lastReset(key: string): number {
    const of = (counts: Counts): number => counts.of(key).get(key)?.reset ?? 0;
    return Math.max(of(this.#own), ...[...this.#others.values()].map(of));
  }

  /** Begin with nothing at a reset. The window and its length are those of the next that is counted. */
  #reset(key: string, reset: number): void {
    this.#own.of(key).set(key, { per: 1, window: 0, now: 0, before: 0, reset });
    this.#toTell(key);
  }

  #toTell(key: string): void {
    if (this.#bus === undefined) return;
    this.#untold.add(key);
    this.#loop.within(SOON_MS);
  }

  #hear({ node, instance, leaving, counts }: Announced): void {
    if (instance === this.#instance) return;
    const isNew = !this.#others.has(instance);
    const known = this.#others.get(instance) ?? new Counts();
    this.#others.set(instance, known);
    for (const { key, ...count } of counts) {
      known.of(key).set(key, count satisfies Count);
      if (count.reset > (this.#own.of(key).get(key)?.reset ?? 0)) this.#reset(key, count.reset);
    }
    if (leaving) this.#peers.leave(node);
    // A newcomer knows nothing of what was counted; its node may not have been missed since the one before it.
    else if (this.#peers.hear(node, true) || isNew) for (const key of this.#own.keys()) this.#untold.add(key);
  }

  #say(leaving: boolean): void {
    this.#peers.look();
    for (const [key, until] of this.#resets) {
      this.#untold.add(key);
      if (this.#now() > until) this.#resets.delete(key);
    }
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
