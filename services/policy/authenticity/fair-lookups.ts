import type { Lookup } from 'mailauth/lib/tools.js';

/** Fewer than the resolver lets a network have, where more would be refused. */
const MOST_UNDER_WAY = 40;
const MOST_WAITING = 2000;
/** Nobody waits longer for an answer (verify.ts): what has waited as long is not asked any more. */
const LONGEST_WAIT_MS = 5000;

type Network = { underWay: number; waiting: (() => void)[] };

/**
 * Questions by the network of the client that causes them. Those of one that are slow leave room for those of others, and a
 * large sender that causes many waits its turn, since an answer that is missing makes mail look worse than it is.
 */
export class FairLookups {
  /** Those that have questions. */
  readonly #networks = new Map<string, Network>();

  of(network: string, lookup: Lookup): Lookup {
    return async (name, type) => {
      const came = performance.now();
      await this.#turn(network);
      try {
        if (performance.now() - came >= LONGEST_WAIT_MS) throw late(`a question of ${network} had no turn in time`);
        return await lookup(name, type);
      } finally {
        this.#done(network);
      }
    };
  }

  #turn(name: string): Promise<void> | undefined {
    const network = this.#networks.get(name) ?? { underWay: 0, waiting: [] };
    this.#networks.set(name, network);
    if (network.underWay < MOST_UNDER_WAY) {
      network.underWay++;
      return undefined;
    }
    if (network.waiting.length >= MOST_WAITING) {
      return Promise.reject(late(`too many questions of ${name} wait`));
    }
    return new Promise((resolve) => network.waiting.push(resolve));
  }

  #done(name: string): void {
    const network = this.#networks.get(name);
    if (network === undefined) return;
    const next = network.waiting.shift();
    if (next !== undefined) next();
    else if (--network.underWay === 0) this.#networks.delete(name);
  }
}

function late(text: string): Error {
  return Object.assign(new Error(text), { code: 'ETIMEOUT' });
}
