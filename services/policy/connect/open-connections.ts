import type { ListenerContract } from '#services/listener/contract.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { EventPayload } from '#shared/contract.ts';

/**
 * How many connections each client has to the listeners of all nodes, as those announce it (`sessions`): within 100 ms, and
 * each second a sign of life. What an instance said is forgotten when it stops, or is silent for `LIVE_MS`: its connections
 * are gone, or it is cut off and others cannot know. Memory: `MOST_INSTANCES` of `MOST_CLIENTS` clients.
 */

const LIVE_MS = 5000;
const MOST_INSTANCES = 64;
const MOST_CLIENTS = 20_000;

type Instance = { heard: number; open: BoundedMap<string, number> };

export class OpenConnections {
  readonly #instances = new BoundedMap<string, Instance>(MOST_INSTANCES);

  hear({ instance, all, leaving, clients }: EventPayload<ListenerContract, 'sessions'>): void {
    if (leaving) {
      this.#instances.delete(instance);
      return;
    }
    const known = this.#instances.get(instance);
    const open = all || known === undefined ? new BoundedMap<string, number>(MOST_CLIENTS) : known.open;
    for (const { client, open: count } of clients) {
      if (count === 0) open.delete(client);
      else open.set(client, count);
    }
    this.#instances.set(instance, { heard: performance.now(), open });
  }

  /** Connections of a client (`clientNetwork`) to all instances but one. */
  elsewhere(client: string, except: string | undefined): number {
    const since = performance.now() - LIVE_MS;
    let open = 0;
    for (const [instance, { heard, open: counts }] of this.#instances) {
      if (heard < since) this.#instances.delete(instance);
      else if (instance !== except) open += counts.get(client) ?? 0;
    }
    return open;
  }
}
