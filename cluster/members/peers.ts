/**
 * Who else of a service's instances lives, as one of them hears it, and what that entitles it to: what limits that hold
 * for the whole cluster are split by.
 *
 * Every instance says each second that it is there, and says goodbye when it stops. One not heard for `LIVE_MS` does not
 * live; it stays known for `KNOWN_MS`, because silence may as well mean that the way to it is cut. Standing:
 *
 *   alone      there is no bus, or nobody else is known: everything is ours.
 *   together   more than half of those known, ourselves included, live: they share everything.
 *   apart      no more than half live. The others may share everything between them on their side, so each of us keeps
 *              to its part by the last known number: never nothing, never the whole. In a split into equal halves the
 *              sum stays exact; a cluster of two that loses one works at half its limit until the lost one is forgotten.
 *   listening  the bus came up so lately that nobody could be heard yet: keep what you have.
 *
 * While the bus is away nobody is forgotten. Whoever starts without it and has heard nobody takes the cluster for one
 * of `ASSUMED`.
 */

/** How often an instance says that it is there, in milliseconds. */
export const TELL_MS = 1000;
/** Silence after which an instance does not count as live: two of its words may get lost. */
export const LIVE_MS = 3000;
/** Silence after which it is forgotten. */
const KNOWN_MS = 600_000;
/** How long one listens before one knows who lives. */
const LISTEN_MS = 2000;
/** How many there are where nobody was ever heard. */
const ASSUMED = 3;

export type Standing<T> =
  | { kind: 'alone' }
  | { kind: 'together'; others: T[] }
  | { kind: 'apart'; of: number }
  | { kind: 'listening' };

/** `until`: when it is forgotten. */
type Peer<T> = { said: T; at: number; until: number };

export type PeersOptions = {
  /** Whether others can be there at all: there is a bus with servers. */
  bus: boolean;
  /** Whether the bus is up right now. */
  connected: () => boolean;
  /** Milliseconds of a clock that never jumps. */
  clock?: () => number;
};

export class Peers<T> {
  readonly #bus: boolean;
  readonly #connected: () => boolean;
  readonly #clock: () => number;
  readonly #known = new Map<string, Peer<T>>();
  #connectedSince: number | undefined;
  #checked: number;

  constructor({ bus, connected, clock = () => performance.now() }: PeersOptions) {
    this.#bus = bus;
    this.#connected = connected;
    this.#clock = clock;
    this.#checked = clock();
    this.look();
  }

  /** Take in what the instance on a node said. Returns whether it is news that it lives. */
  hear(node: string, said: T): boolean {
    const now = this.#clock();
    const before = this.#known.get(node);
    this.#known.set(node, { said, at: now, until: now + KNOWN_MS });
    return before === undefined || now - before.at > LIVE_MS;
  }

  /** It stopped in good order: its part is free at once. */
  leave(node: string): void {
    this.#known.delete(node);
  }

  get standing(): Standing<T> {
    if (!this.#bus) return { kind: 'alone' };
    const now = this.look();
    const others = [...this.#known.values()].filter(({ at }) => now - at <= LIVE_MS).map(({ said }) => said);
    const of = this.#known.size + 1;
    if (of > 1 && (others.length + 1) * 2 > of) return { kind: 'together', others };
    if (this.#connectedSince === undefined) return { kind: 'apart', of: of === 1 ? ASSUMED : of };
    if (now - this.#connectedSince < LISTEN_MS) return { kind: 'listening' };
    return of === 1 ? { kind: 'alone' } : { kind: 'apart', of };
  }

  /** Note how the bus is, and forget who was silent for long while it was up. To be called each second; returns the time. */
  look(): number {
    const now = this.#clock();
    const passed = now - this.#checked;
    this.#checked = now;
    if (!this.#connected()) {
      this.#connectedSince = undefined;
      for (const peer of this.#known.values()) peer.until += passed;
      return now;
    }
    this.#connectedSince ??= now;
    for (const [node, { until }] of this.#known) if (now > until) this.#known.delete(node);
    return now;
  }
}
