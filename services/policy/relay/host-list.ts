import ipaddr from 'ipaddr.js';
import { nearest } from '#shared/domains.ts';
import { type ClientAddress, parseClientAddress } from '../client-address.ts';

/**
 * Lists of hosts and domains from the configuration, arranged for matching: a name costs one set look-up per label,
 * an address one comparison per network.
 */

/** The entry of the list that matched, for an explanation; undefined: none did. */
type Match = string | undefined;

export class DomainList {
  /** `*` is in the list. It is not a match of its own: what it means differs between lists. */
  readonly any: boolean;
  readonly #names: ReadonlySet<string>;

  /** `entries`: `*` or normalized domains. */
  constructor(entries: readonly string[]) {
    this.any = entries.includes('*');
    this.#names = new Set(entries);
  }

  /** The entry that is `domain` or above it, by whole labels (DOMINO R1). `domain` is normalized. */
  match(domain: string): Match {
    return nearest(domain, (name) => (this.#names.has(name) ? name : undefined));
  }
}

export class HostList {
  readonly any: boolean;
  /** Some entry is a host name. */
  readonly named: boolean;
  readonly #names: DomainList;
  readonly #networks: { entry: string; network: [ClientAddress, number] }[] = [];

  /** `entries`: `*`, IP addresses, networks, or normalized host names. */
  constructor(entries: readonly string[]) {
    this.any = entries.includes('*');
    const names: string[] = [];
    for (const entry of entries) {
      const network = parseNetwork(entry);
      if (network === undefined) names.push(entry);
      else this.#networks.push({ entry, network });
    }
    this.named = names.some((name) => name !== '*');
    this.#names = new DomainList(names);
  }

  /** The entry that holds the client's address, or its confirmed name. */
  match(address: ClientAddress | undefined, name: string | null): Match {
    const network =
      address && this.#networks.find((n) => n.network[0].kind() === address.kind() && address.match(n.network));
    return network?.entry ?? (name === null ? undefined : this.#names.match(name));
  }
}

/** A network, or an address as a network of its own. IPv4-mapped networks become IPv4, like the clients. */
function parseNetwork(entry: string): [ClientAddress, number] | undefined {
  const address = parseClientAddress(entry);
  if (address !== undefined) return [address, address.kind() === 'ipv4' ? 32 : 128];
  if (!ipaddr.isValidCIDR(entry)) return undefined;
  const [base, bits] = ipaddr.parseCIDR(entry);
  return base instanceof ipaddr.IPv6 && base.isIPv4MappedAddress() && bits >= 96
    ? [base.toIPv4Address(), bits - 96]
    : [base, bits];
}
