import { isIP } from 'node:net';
import { normalizeDomain } from '#shared/address/address.ts';
import { parseNetwork } from '#shared/address/ip-address.ts';

/** Networks, hosts and domains as other mail servers write them, as entries of Sealpost's lists. */

/** A network or an address, but no name: `10.0.0.0/8`, `[2001:db8::]/32`, an address. */
export function networkEntry(text: string): string | undefined {
  const plain = text.replace(/^\[([^\]]*)\]/, '$1');
  return parseNetwork(plain) === undefined ? undefined : plain;
}

/** The key of an access table for clients: a network, `192.168.`, an address, or a name. */
export function hostEntry(text: string): string | undefined {
  const network = networkEntry(text);
  if (network !== undefined) return network;
  const plain = text.replace(/^\[([^\]]*)\]/, '$1');
  if (/^\d{1,3}(?:\.\d{1,3}){0,2}\.?$/.test(plain)) {
    const octets = plain.replace(/\.$/, '').split('.');
    const network = `${[...octets, '0', '0', '0'].slice(0, 4).join('.')}/${8 * octets.length}`;
    return parseNetwork(network) === undefined ? undefined : network;
  }
  return isIP(plain) === 0 ? domainEntry(plain) : undefined;
}

/** `example.com` or `.example.com`: a domain in Sealpost's lists has everything below it. */
export function domainEntry(text: string): string | undefined {
  const name = normalizeDomain(text.replace(/^\./, ''));
  const fits = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name);
  return fits && !/(?:^|\.)\d+$/.test(name) && name.length <= 253 ? name : undefined;
}

/** A network so large that it is most of the net. */
export function isEverybody(entry: string): boolean {
  if (entry === '*') return true;
  const [base, bits = 128] = parseNetwork(entry) ?? [];
  return base !== undefined && bits < (base.kind() === 'ipv4' ? 8 : 16);
}
