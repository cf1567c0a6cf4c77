import { setTimeout as delay } from 'node:timers/promises';
import { Heard } from '#cluster/members/heard.ts';
import type { PeerBus } from '#cluster/members/peers.ts';
import type { Calls } from '#services/topology.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { RouterContract } from '../contract.ts';
import type { SharedTlsMemory } from './memory.ts';

/**
 * Keeps the memories of the routers of a cluster the same. What one learns it announces; an announcement may get lost, so
 * each router also asks others for all that they remember:
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

export type MemoryBus = PeerBus<RouterContract, 'tls-learned' | 'present'>;

export type SharingDeps = {
  node: string;
  memory: SharedTlsMemory;
  /** Undefined: this router is the only one. */
  peers: MemoryBus | undefined;
  router: Pick<Calls<'router', 'router'>, 'tls-memory-list'>;
  log: Logger;
  /** How long it listens for others before it asks, and how often it asks one of them. */
  listenMs?: number | undefined;
  againMs?: number | undefined;
};

export class MemorySharing {
  readonly #deps: SharingDeps;
  readonly #heard = new Heard<true>({ liveMs: LIVE_MS, keepMs: LIVE_MS, clock: () => performance.now() });
  readonly #stopping = new AbortController();
  readonly #stopHearing: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Since when the bus has been up, by the monotonic clock. */
  #since: number | undefined;
  /** When to ask again; undefined: nobody was asked since the bus came up. */
  #due: number | undefined;
  #asking: Promise<void> | undefined;

  constructor(deps: SharingDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { peers, memory, node } = this.#deps;
    if (peers === undefined) return;
    memory.tellWith((records) => peers.announce('tls-learned', { records }));
    this.#stopHearing.push(
      peers.hear('tls-learned', ({ records }) => {
        for (const record of records) memory.learn(record);
      }),
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
          'what another router remembers of the TLS of others was not learned: it is asked again later',
        );
      }
    }
  }

  async #ask(node: string): Promise<void> {
    const { memory, router } = this.#deps;
    let after: string | undefined;
    do {
      const page = await router['tls-memory-list']({ ...(after !== undefined && { after }) }, { node });
      for (const record of page.records) memory.learn(record);
      after = page.next;
      await delay(PAUSE_MS, undefined, { signal: this.#stopping.signal });
    } while (after !== undefined);
  }
}
