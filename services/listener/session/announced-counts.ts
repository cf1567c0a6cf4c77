import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import type { SessionCounts } from '#cluster/serving/session-counts.ts';
import type { Announce } from '#shared/contract.ts';
import { type ListenerContract, MOST_CLIENTS } from '../contract.ts';

/**
 * Tells the policy services how many connections each client has to this process, for the limit that holds for all nodes
 * together (`checks.connections-per-client`): what changed within `SOON_MS`, a sign of life each second, and every
 * `ALL_EVERY` seconds everything, which makes good what got lost. Where there is no such limit, nothing.
 */

const SOON_MS = 100;
const ALL_EVERY = 5;

export type AnnouncedCountsDeps = {
  settings: Settings;
  counts: SessionCounts;
  announce: Announce<ListenerContract>;
};

export class AnnouncedCounts {
  readonly #deps: AnnouncedCountsDeps;
  readonly #loop = new AnnounceLoop(() => this.#say(false));
  readonly #untold = new Set<string>();
  #seconds = 0;

  constructor(deps: AnnouncedCountsDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { counts } = this.#deps;
    counts.onChange = (client) => {
      if (!this.#wanted) return;
      this.#untold.add(client);
      this.#loop.within(SOON_MS);
    };
    this.#loop.start(() => this.#say(this.#seconds++ % ALL_EVERY === 0));
  }

  stop(): void {
    this.#untold.clear();
    this.#loop.stop(() => this.#announce({ all: true, leaving: true, clients: [] }));
  }

  get #wanted(): boolean {
    return this.#deps.settings.current.checks['connections-per-client'] !== undefined;
  }

  #say(all: boolean): void {
    if (!this.#wanted) return;
    const names = [...(all ? this.#deps.counts.clients() : this.#untold)];
    this.#untold.clear();
    const clients = names.map((client) => ({ client, open: this.#deps.counts.of(client) }));
    let first = all;
    do {
      this.#announce({ all: first, leaving: false, clients: clients.splice(0, MOST_CLIENTS) });
      first = false;
    } while (clients.length > 0);
  }

  #announce(said: { all: boolean; leaving: boolean; clients: { client: string; open: number }[] }): void {
    if (this.#wanted) this.#deps.announce('sessions', { instance: this.#deps.counts.instance, ...said });
  }
}
