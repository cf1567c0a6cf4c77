import type { Config } from '#cluster/config/schema/schema.ts';
import { type Machine, readMachine } from '#cluster/machine.ts';
import { isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';
import type { Front } from './contract.ts';
import { FrontWatch } from './front.ts';

/**
 * Addresses through which anybody may come in, so that an entry of the relay rules means them only where it is such an
 * address alone:
 *
 * - gateways of the networks of the container that this process runs in. A published port brings clients of the whole
 *   Internet in from there: those of IPv6, where the container has IPv4 only (docker's proxy), or all of them (rootless
 *   engines, `externalTrafficPolicy: Cluster` of Kubernetes).
 * - what stands in front of the listeners and hides the clients (front.ts).
 */

/** How long what was read counts: a container may join a network while it runs. */
const FRESH_MS = 30_000;

/** A gateway and an entry of the relay rules that holds it. `named`: the entry is this address alone. */
export type CoveredGateway = { address: string; list: string; entry: string; named: boolean };

/** What a session asks of the address of its client, and what it tells of it. */
export type ClientAddresses = Pick<Gateways, 'has'> & {
  /** A client gave its name. */
  saw(client: { address: string; isProxy: boolean }, helo: string): void;
};

export class Gateways {
  readonly #read: () => Partial<Machine>;
  readonly #watch = new FrontWatch((address) => this.has(address) || this.#current().routed.has(address));
  #known = { container: new Set<string>(), routed: new Set<string>() };
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(read: () => Partial<Machine> = readMachine) {
    this.#read = read;
  }

  /** Whether anybody may come in through an address, in its canonical form. */
  has(address: string): boolean {
    return this.#current().container.has(address) || this.#watch.found?.address === address;
  }

  /** A client gave its name. Returns what stands in front of the listeners when this shows it. */
  saw(address: string, helo: string): Front | undefined {
    return this.#watch.saw(address, helo);
  }

  get front(): Front | undefined {
    return this.#watch.found;
  }

  /** Gateways of the container that entries of the relay rules hold. */
  covered(relay: Config['relay']): CoveredGateway[] {
    return [...this.#current().container].flatMap((address) => coveredBy(relay, address));
  }

  /** Gateways of the container in a network of proxies, which is not meant to hold them. */
  amongProxies(listeners: Config['listeners']): { listener: string; address: string; entry: string }[] {
    return [...this.#current().container].flatMap((address) =>
      listeners.flatMap(({ name, proxy }) => {
        const found = holding('proxy', proxy, address);
        return found.some(({ named }) => named) ? [] : found.map(({ entry }) => ({ listener: name, address, entry }));
      }),
    );
  }

  #current(): { container: ReadonlySet<string>; routed: ReadonlySet<string> } {
    const now = performance.now();
    if (now - this.#readAt > FRESH_MS) {
      const { container, routed } = this.#read();
      this.#known = { container: new Set(container), routed: new Set(routed) };
      this.#readAt = now;
    }
    return this.#known;
  }
}

/** Entries of the relay rules that hold an address: where it is named, it does not matter what else holds it. */
export function coveredBy(relay: Config['relay'], address: string): CoveredGateway[] {
  const found = [
    ...holding('relay.allow.hosts', relay.allow.hosts, address),
    ...holding('relay.exclude', relay.exclude, address),
    ...holding('relay.internal.hosts', relay.scope === 'external' ? relay.internal.hosts : [], address),
  ];
  const named = found.filter((one) => one.named);
  return named.length > 0 ? named : found;
}

/** The entries of a list that hold an address, or are it alone. */
function holding(list: string, entries: readonly string[], address: string): CoveredGateway[] {
  const ip = parseIp(address);
  return entries.flatMap((entry) => {
    const network = parseNetwork(entry);
    if (ip === undefined || network === undefined || !isInNetwork(ip, network)) return [];
    return [{ address, list, entry, named: parseIp(entry) !== undefined }];
  });
}
