import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * IP addresses and networks for comparison. Of the IPv6 addresses that end with an IPv4 address only those of
 * ::ffff:0:0/96 are that IPv4 address (RFC 4291 §2.5.5.2): an IPv4 client of a dual-stack socket. `::192.0.2.1` is a host
 * of its own; ipaddr.js takes its text for the mapped form, so the text is rewritten before it reads it.
 */

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;
export type IpNetwork = readonly [base: IpAddress, bits: number];

/** The address; a zone (`fe80::1%eth0`) is not part of it. Undefined where the text is not an address. */
export function parseIp(text: string): IpAddress | undefined {
  const address = parse(text.split('%', 1)[0] ?? '');
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** A network in CIDR form, or an address as a network of its own. IPv4-mapped networks become IPv4. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const address = text.includes('/') ? undefined : parseIp(text);
  if (address !== undefined) return [address, lengthOf(address)];
  const [, left = '', length = ''] = /^([^/%]+)\/(\d{1,3})$/.exec(text) ?? [];
  const base = parse(left);
  const bits = Number(length);
  if (base === undefined || bits > lengthOf(base)) return undefined;
  return base instanceof ipaddr.IPv6 && base.isIPv4MappedAddress() && bits >= 96
    ? [base.toIPv4Address(), bits - 96]
    : [base, bits];
}

export function isInNetwork(address: IpAddress, [base, bits]: IpNetwork): boolean {
  return address.kind() === base.kind() && address.match(base, bits);
}

/**
 * Whose an address is, as a key for counts: an IPv4 address itself, of an IPv6 address its /64, which is what one
 * customer gets at least. Text that is not an address stands for itself.
 */
export function clientNetwork(text: string): string {
  const address = parseIp(text);
  if (address === undefined) return text;
  return address instanceof ipaddr.IPv6 ? networkOf(address, 64) : address.toString();
}

/** The network that an address is in, as far as neighbours are taken for one another: a /24 of IPv4, a /64 of IPv6. */
export function neighbourhood(text: string): string {
  const address = parseIp(text);
  return address === undefined ? text : networkOf(address, address.kind() === 'ipv4' ? 24 : 64);
}

/** The first address of a network in CIDR form; undefined where the text is none, or it has no other address. */
export function firstOf(network: string): string | undefined {
  const [address, bits = 0] = parseNetwork(network.replace(/%[^/]*/, '')) ?? [];
  if (address === undefined || bits > lengthOf(address) - 2) return undefined;
  const bytes = maskedBytes(address, bits);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + 1;
  return ipaddr.fromByteArray(bytes).toString();
}

/** The network of this many bits that holds an address: `2001:db8::/64`. */
function networkOf(address: IpAddress, bits: number): string {
  return `${ipaddr.fromByteArray(maskedBytes(address, bits)).toString()}/${bits}`;
}

function maskedBytes(address: IpAddress, bits: number): number[] {
  return address.toByteArray().map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))));
}

function parse(text: string): IpAddress | undefined {
  // ipaddr.js alone would take `1` and `0x7f.1` as IPv4.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return isIPv6(text) ? ipaddr.IPv6.parse(text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, inHex)) : undefined;
}

function inHex(_: string, ...parts: string[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = parts.map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function lengthOf(address: IpAddress): number {
  return address.kind() === 'ipv4' ? 32 : 128;
}
