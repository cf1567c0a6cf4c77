import { nearest } from '#shared/address/domains.ts';
import { type IpAddress, type IpNetwork, isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';

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
  /** There is nothing to match, so no address needs to be read. */
  readonly empty: boolean;
  readonly #names: DomainList;
  readonly #networks: { entry: string; network: IpNetwork }[] = [];

  /** `entries`: `*`, IP addresses, networks, or normalized host names. */
  constructor(entries: readonly string[]) {
    this.any = entries.includes('*');
    this.empty = entries.length === 0;
    const names: string[] = [];
    for (const entry of entries) {
      const network = parseNetwork(entry);
      if (network === undefined) names.push(entry);
      else this.#networks.push({ entry, network });
    }
    this.named = names.some((name) => name !== '*');
    this.#names = new DomainList(names);
  }

  /** The entry that is this address alone. */
  single(address: IpAddress | undefined): Match {
    const text = address?.toString();
    return this.#networks.find(({ entry }) => parseIp(entry)?.toString() === text && text !== undefined)?.entry;
  }

  /** The entry that holds the client's address, or its confirmed name. */
  match(address: IpAddress | undefined, name: string | null): Match {
    const network = address && this.#networks.find((n) => isInNetwork(address, n.network));
    return network?.entry ?? (name === null ? undefined : this.#names.match(name));
  }
}

type NamedClient = { client: { address: string; name: string | null }; gateway?: boolean | undefined };

/** The entry of a list that names the client: for a gateway, one that is its address alone. */
export function namedBy(list: HostList, { client, gateway }: NamedClient): string | undefined {
  if (list.empty) return undefined;
  const address = parseIp(client.address);
  return gateway ? list.single(address) : list.match(address, client.name);
}
