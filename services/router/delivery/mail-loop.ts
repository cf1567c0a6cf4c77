import { networkInterfaces } from 'node:os';
import type { Config } from '#cluster/config/schema/schema.ts';
import { type IpAddress, isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';

/**
 * Which addresses mail may be sent to because MX records or an address literal name them. These are the words of
 * strangers: they must not bring mail to what listens on this machine alone, nor back to ourselves (RFC 5321 §5.1). What
 * `delivery.allow-local` lists is an address like any other. The hosts of routes are named by the administrator, and none
 * of this is asked about them.
 */

/**
 * Tells whether mail sent to a host would come back to us: it has our name, an address that we listen at, or any other of
 * this machine. One on the loopback interface is a service address that other software here may have for itself: it
 * counts only where we listen at it.
 */
export function selfTest(
  config: Config,
  port: number,
): (host: { name: string; addresses: readonly string[] }) => boolean {
  const machine = machineAddresses();
  const listening = config.listeners.filter((listener) => listener.port === port).map(({ address }) => address);
  const listensAt = (own: string, address: IpAddress): boolean => {
    if (own !== '::' && own !== '0.0.0.0') return parseIp(own)?.toString() === address.toString();
    if (own === '0.0.0.0' && address.kind() === 'ipv6') return false;
    return address.range() === 'loopback' || machine.has(address.toString());
  };
  const isOwn = (text: string): boolean => {
    const address = parseIp(text);
    if (address === undefined) return false;
    if (listening.some((own) => listensAt(own, address))) return true;
    return machine.get(address.toString())?.internal === false && !isAllowed(config, text);
  };
  return ({ name, addresses }) => name === config.node.hostname || addresses.some(isOwn);
}

/** The addresses of this machine, and whether they are those of the loopback interface. */
function machineAddresses(): Map<string, { internal: boolean }> {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return new Map(all.map(({ address, internal }) => [parseIp(address)?.toString() ?? address, { internal }]));
}

/**
 * Whether mail can be sent to an address at all: not 0.0.0.0, which would reach this machine, nor broadcast or
 * multicast.
 */
export function isHostAddress(address: string): boolean {
  const range = parseIp(address)?.range();
  return range !== undefined && range !== 'unspecified' && range !== 'broadcast' && range !== 'multicast';
}

/** Whether an address means another machine wherever it is read: not loopback or link-local. */
export function isPublished(config: Config, address: string): boolean {
  const range = parseIp(address)?.range();
  return (range !== undefined && range !== 'loopback' && range !== 'linkLocal') || isAllowed(config, address);
}

/** Public addresses: `unicast` is what no other range of IPv4 or IPv6 has, `rfc6052` IPv4 behind a NAT64. */
const PUBLIC = new Set(['unicast', 'rfc6052']);

/** Whether an address is one of the public Internet: there a stranger's words reach nothing that is not open to all. */
export function isPublic(config: Config, address: string): boolean {
  return PUBLIC.has(parseIp(address)?.range() ?? '') || isAllowed(config, address);
}

function isAllowed({ delivery }: Config, text: string): boolean {
  const address = parseIp(text);
  return (
    address !== undefined &&
    delivery['allow-local'].map(parseNetwork).some((network) => network !== undefined && isInNetwork(address, network))
  );
}
