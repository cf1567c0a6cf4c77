import type { Announce, Contract, Listen } from '#shared/contract.ts';
import { Heard } from './heard.ts';

/**
 * The other instances of a service, as one of them hears them, and what that entitles it to: limits that hold for the
 * whole cluster are split by it.
 *
 * Every instance announces itself each second (`announce.ts`), and says goodbye when it stops. One that was not heard for
 * `LIVE_MS` is not live; it stays known for `KNOWN_MS`, because silence may as well mean that the network is cut. While
 * the bus is away nobody is forgotten. The promise is in the standing of this instance:
 *
 *   alone      there is no bus, or no other instance is known: it may use everything.
 *   together   more than half of those known, this one included, are live: they share everything.
 *   apart      no more than half are live. The others may share everything among them on their side, so this one keeps
 *              to its part by the last known number: never nothing, never the whole. In a split into equal halves the
 *              sum stays exact; a cluster of two that loses one works at half its limit until the lost one is forgotten.
 *   listening  the bus came up so lately that nobody could be heard yet: keep what you have.
 *
 * An instance that starts without the bus and has heard nobody takes the cluster for one of `ASSUMED`.
 */

/** Silence up to which an instance counts as live: two of its announcements may get lost. */
const LIVE_MS = 3000;
/** Silence up to which it is known. */
const KNOWN_MS = 600_000;
/** How long to listen before it is known which instances are live. */
const LISTEN_MS = 2000;
/** How many there are where none was ever heard. */
const ASSUMED = 3;

export type Standing<T> =
  | { kind: 'alone' }
  | { kind: 'together'; others: T[] }
  | { kind: 'apart'; of: number }
  | { kind: 'listening' };

/** How the instances of a service announce something to one another. */
export type PeerBus<C extends Contract, Event extends keyof C['events'] & string> = {
  announce: Announce<C>;
  /** Hears what instances announce, this one too. */
  hear: Listen<C, Event>;
  /** Whether the bus is up right now. */
  connected: () => boolean;
};

export type LivePeersDeps = {
  /** Undefined: this instance is the only one. */
  bus: { connected: () => boolean } | undefined;
  /** Milliseconds of a clock that never jumps. */
  clock?: (() => number) | undefined;
};

export class LivePeers<T> {
  readonly #bus: LivePeersDeps['bus'];
  readonly #clock: () => number;
  readonly #known: Heard<T>;
  #connectedSince: number | undefined;
  #checked: number;

  constructor({ bus, clock = () => performance.now() }: LivePeersDeps) {
    this.#bus = bus;
    this.#clock = clock;
    this.#known = new Heard({ liveMs: LIVE_MS, keepMs: KNOWN_MS, clock });
    this.#checked = clock();
    this.look();
  }

  /** Keep what the instance on a node said. Returns whether it is news that it lives. */
  hear(node: string, said: T): boolean {
    return this.#known.hear(node, said);
  }

  /** The instance stopped in good order: its part is free immediately. */
  leave(node: string): void {
    this.#known.forget(node);
  }

  get standing(): Standing<T> {
    if (this.#bus === undefined) return { kind: 'alone' };
    const now = this.look();
    const known = this.#known.all();
    const others = known.filter(({ live }) => live).map(({ said }) => said);
    const of = known.length + 1;
    if (of > 1 && (others.length + 1) * 2 > of) return { kind: 'together', others };
    if (this.#connectedSince === undefined) return { kind: 'apart', of: of === 1 ? ASSUMED : of };
    if (now - this.#connectedSince < LISTEN_MS) return { kind: 'listening' };
    return of === 1 ? { kind: 'alone' } : { kind: 'apart', of };
  }

  /** Note whether the bus is up: nobody is forgotten while it is away. To be called each second; returns the time. */
  look(): number {
    const now = this.#clock();
    const passed = now - this.#checked;
    this.#checked = now;
    if (this.#bus?.connected()) {
      this.#connectedSince ??= now;
    } else {
      this.#connectedSince = undefined;
      this.#known.excuse(passed);
    }
    return now;
  }
}
