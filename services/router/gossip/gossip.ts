import { setTimeout as delay } from 'node:timers/promises';
import { Heard } from '#cluster/members/heard.ts';
import type { PeerBus } from '#cluster/members/peers.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { RouterContract } from '../contract.ts';

/**
 * Keeps records of the routers of a cluster the same, where each has all of them. What one learns it announces; an
 * announcement may get lost, so each router also asks others for all that they have:
 *
 *   every other one   when it starts, and when its bus comes back
 *   one at random     once an hour, so that what anybody missed goes round
 *
 * It waits `LISTEN_MS` for the others to be heard. A router of an earlier version does not know the question; it is passed over.
 */

const LOOK_MS = 1000;
const LISTEN_MS = 3000;
const AGAIN_MS = 3_600_000;
/** Silence after which a router is not asked. */
const LIVE_MS = 5000;
/** Between two pages: other work comes first. */
const PAUSE_MS = 10;

/** `Event` is the one that announces records. */
export type GossipBus<Event extends keyof RouterContract['events'] & string> = PeerBus<
  RouterContract,
  Event | 'present'
>;

/** What is kept the same. `learn` takes what another router has: in any order, and more than once. */
export type GossipDeps<R> = {
  node: string;
  /** Of whom this router hears, and whether its bus is up; undefined: this router is the only one. */
  peers: Pick<GossipBus<'present'>, 'hear' | 'connected'> | undefined;
  /** Give what this router learns to others, and `learn` what they announce; returns how to end that. */
  join: (learn: (record: R) => void) => () => void;
  learn: (record: R) => void;
  /** A page of what another router has. */
  ask: (node: string, after: string | undefined) => Promise<{ records: R[]; next?: string | undefined }>;
  /** For the log: what was not learned. */
  what: string;
  log: Logger;
  /** How long it listens for others before it asks, and how often it asks one of them. */
  listenMs?: number | undefined;
  againMs?: number | undefined;
};

export class Gossip<R> {
  readonly #deps: GossipDeps<R>;
  readonly #heard = new Heard<true>({ liveMs: LIVE_MS, keepMs: LIVE_MS, clock: () => performance.now() });
  readonly #stopping = new AbortController();
  readonly #stopHearing: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Since when the bus has been up, by the monotonic clock. */
  #since: number | undefined;
  /** When to ask again; undefined: nobody was asked since the bus came up. */
  #due: number | undefined;
  #asking: Promise<void> | undefined;

  constructor(deps: GossipDeps<R>) {
    this.#deps = deps;
  }

  start(): void {
    const { peers, join, learn, node } = this.#deps;
    if (peers === undefined) return;
    this.#stopHearing.push(
      join(learn),
      peers.hear('present', (present) => {
        if (present.node !== node) this.#heard.hear(present.node, true);
      }),
    );
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
    this.#look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const stop of this.#stopHearing) stop();
    this.#stopping.abort();
    await this.#asking;
  }

  #look(): void {
    const now = performance.now();
    if (!this.#deps.peers?.connected()) {
      this.#since = undefined;
      this.#due = undefined;
      return;
    }
    this.#since ??= now;
    const { listenMs = LISTEN_MS, againMs = AGAIN_MS } = this.#deps;
    if (this.#asking !== undefined || now < (this.#due ?? this.#since + listenMs)) return;
    const live = this.#heard.live().map(({ key }) => key);
    if (live.length === 0) return;
    const one = live[Math.floor(Math.random() * live.length)] ?? '';
    const asked = this.#due === undefined ? live : [one];
    this.#due = now + againMs;
    this.#asking = this.#askAll(asked).finally(() => {
      this.#asking = undefined;
    });
  }

  async #askAll(nodes: readonly string[]): Promise<void> {
    for (const node of nodes) {
      try {
        await this.#ask(node);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        const level = errorCode(error) === 'unavailable' ? 'debug' : 'info';
        this.#deps.log[level](
          { peer: node, error: errorText(error) },
          `${this.#deps.what} was not learned from another router: it is asked again later`,
        );
      }
    }
  }

  async #ask(node: string): Promise<void> {
    const { ask, learn } = this.#deps;
    let after: string | undefined;
    do {
      const page = await ask(node, after);
      for (const record of page.records) learn(record);
      after = page.next;
      await delay(PAUSE_MS, undefined, { signal: this.#stopping.signal });
    } while (after !== undefined);
  }
}
