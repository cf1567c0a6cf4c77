import type { IpAddress } from '#shared/address/ip-address.ts';

/**
 * An address as labels of DNS, its last part first: `1.2.0.192`, or the 32 hexadecimal digits of an IPv6 address
 * (RFC 1035 §3.5, RFC 3596 §2.5, RFC 5782 §2.1, §2.4).
 */
export function pointerLabels(address: IpAddress | readonly number[]): string {
  const bytes = ('toByteArray' in address ? address.toByteArray() : [...address]).toReversed();
  if (bytes.length === 4) return bytes.join('.');
  return bytes.map((byte) => `${(byte & 15).toString(16)}.${(byte >> 4).toString(16)}`).join('.');
}
