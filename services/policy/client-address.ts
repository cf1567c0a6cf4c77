import ipaddr from 'ipaddr.js';

export type ClientAddress = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * A client's IP address for comparison: an IPv4 client of a dual-stack socket (`::ffff:192.0.2.1`) is an IPv4
 * address, and a zone (`fe80::1%eth0`) is not part of the address. Undefined where the text is not an address.
 */
export function parseClientAddress(text: string): ClientAddress | undefined {
  const bare = text.split('%', 1)[0] ?? '';
  // parse alone would take `1` and `0x7f.1` as IPv4.
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare) ? ipaddr.process(bare) : undefined;
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3); undefined where the text is not an address. */
export function addressLiteral(text: string): string | undefined {
  const address = parseClientAddress(text);
  if (address === undefined) return undefined;
  return address.kind() === 'ipv6' ? `[IPv6:${address.toString()}]` : `[${address.toString()}]`;
}
