import { existsSync, readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { firstOf, isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';

/**
 * Gateways of the networks of the container that this process runs in. A published port brings clients of the whole
 * Internet in from there: those of IPv6, where the container has IPv4 only (docker's proxy), or all of them (rootless
 * engines, `externalTrafficPolicy: Cluster` of Kubernetes). So a network in `relay.allow.hosts` does not mean them.
 */

/** How long what was read counts: a container may join a network while it runs. */
const FRESH_MS = 30_000;

/** A gateway and an entry of relay.allow.hosts that holds it. `named`: the entry is this address alone. */
export type CoveredGateway = { address: string; entry: string; named: boolean };

export class Gateways {
  readonly #read: () => string[];
  #known: ReadonlySet<string> = new Set();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(read: () => string[] = containerGateways) {
    this.#read = read;
  }

  /** Whether an address, in its canonical form, is a gateway. */
  has(address: string): boolean {
    return this.#current().has(address);
  }

  /** Gateways that entries of relay.allow.hosts hold. */
  covered(hosts: readonly string[]): CoveredGateway[] {
    return [...this.#current()].flatMap((address) => {
      const ip = parseIp(address);
      const found = hosts.flatMap((entry) => {
        const network = parseNetwork(entry);
        if (ip === undefined || network === undefined || !isInNetwork(ip, network)) return [];
        return [{ address, entry, named: parseIp(entry) !== undefined }];
      });
      // Where it is named, it does not matter what else holds it.
      const named = found.filter((one) => one.named);
      return named.length > 0 ? named : found;
    });
  }

  #current(): ReadonlySet<string> {
    const now = performance.now();
    if (now - this.#readAt > FRESH_MS) {
      this.#known = new Set(this.#read());
      this.#readAt = now;
    }
    return this.#known;
  }
}

function containerGateways(): string[] {
  const inContainer =
    existsSync('/.dockerenv') ||
    existsSync('/run/.containerenv') ||
    process.env['KUBERNETES_SERVICE_HOST'] !== undefined;
  return inContainer
    ? gatewaysOf(
        Object.values(networkInterfaces()).flatMap((all) => all ?? []),
        routes(),
      )
    : [];
}

function routes(): string {
  try {
    return readFileSync('/proc/net/route', 'latin1');
  } catch {
    return '';
  }
}

/**
 * Of each network its first address, which engines give to the gateway, and the gateways of the routes (the text of
 * /proc/net/route). Not what is ours.
 */
export function gatewaysOf(
  interfaces: readonly Pick<NetworkInterfaceInfo, 'cidr' | 'internal'>[],
  routes: string,
): string[] {
  const networks = interfaces.flatMap(({ cidr, internal }) => (internal || cidr === null ? [] : [cidr]));
  const own = new Set(networks.map((cidr) => parseIp(cidr.split('/', 1)[0] ?? '')?.toString()));
  const first = networks.flatMap((cidr) => firstOf(cidr) ?? []);
  const routed = routes.split('\n').flatMap((line) => {
    const [, , gateway = ''] = line.split('\t');
    if (!/^[0-9A-F]{8}$/.test(gateway) || /^0+$/.test(gateway)) return [];
    return [Buffer.from(gateway, 'hex').reverse().join('.')];
  });
  return [...new Set([...first, ...routed])].filter((address) => !own.has(address));
}
