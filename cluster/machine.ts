import { existsSync, readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { firstOf, parseIp } from '#shared/address/ip-address.ts';

/** What is read of the machine, or of the container, that this process runs in. */
export type Machine = {
  /** Gateways of the container, through which anybody may come in; none outside of one. */
  container: string[];
  /** Gateways of the routes. */
  routed: string[];
};

export function readMachine(): Machine {
  const inContainer =
    existsSync('/.dockerenv') ||
    existsSync('/run/.containerenv') ||
    process.env['KUBERNETES_SERVICE_HOST'] !== undefined;
  const interfaces = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const table = routes();
  return { container: inContainer ? gatewaysOf(interfaces, table) : [], routed: routedBy(table) };
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
  return [...new Set([...first, ...routedBy(routes)])].filter((address) => !own.has(address));
}

function routedBy(routes: string): string[] {
  return routes.split('\n').flatMap((line) => {
    const [, , gateway = ''] = line.split('\t');
    if (!/^[0-9A-F]{8}$/.test(gateway) || /^0+$/.test(gateway)) return [];
    return [Buffer.from(gateway, 'hex').reverse().join('.')];
  });
}
