import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import type { Config } from '#cluster/config/schema/schema.ts';

/** Whether mail sent to a host would come back to one of our own listeners (RFC 5321 §5.1). */
export function isSelf(config: Config, host: { name: string; addresses: readonly string[] }, port: number): boolean {
  if (host.name === config.node.hostname) return true;
  const listening = config.listeners.filter((listener) => listener.port === port).map(({ address }) => address);
  return listening.length > 0 && host.addresses.some((address) => listening.some((own) => listensAt(own, address)));
}

function listensAt(own: string, address: string): boolean {
  if (own === '::') return isLocal(address);
  if (own === '0.0.0.0') return isIP(address) === 4 && isLocal(address);
  return ipaddr.process(own).toString() === ipaddr.process(address).toString();
}

/** An address of this machine: of one of its interfaces, or loopback. */
function isLocal(address: string): boolean {
  const parsed = ipaddr.process(address);
  if (parsed.range() === 'loopback') return true;
  const text = parsed.toString();
  return Object.values(networkInterfaces()).some((all) =>
    all?.some((one) => ipaddr.process(one.address.replace(/%.*$/, '')).toString() === text),
  );
}

/**
 * Whether mail can be sent to an address at all: not 0.0.0.0, which would reach this machine, nor broadcast or
 * multicast.
 */
export function isHostAddress(address: string): boolean {
  if (isIP(address) === 0) return false;
  const range = ipaddr.process(address).range();
  return range !== 'unspecified' && range !== 'broadcast' && range !== 'multicast';
}
