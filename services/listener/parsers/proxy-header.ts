import { isIPv4, isIPv6 } from 'node:net';
import { parseIp } from '#shared/address/ip-address.ts';

/**
 * The header that a proxy sends in front of what the client says: version 1 of the PROXY protocol
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, §2.1). Version 2 (§2.2) is recognized, not read.
 */

/** `address`: the client's; undefined: `UNKNOWN`, the address of the connection itself. `length`: bytes of the header. */
export type ProxyHeader = { address: string | undefined; length: number } | { problem: string };

/** §2.1: "the maximum line length the receiver must support". */
const LONGEST = 107;
const VERSION_1 = Buffer.from('PROXY ');
const VERSION_2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n');
const TCP = /^PROXY (TCP4|TCP6) (\S+) (\S+) (?:0|[1-9]\d{0,4}) (?:0|[1-9]\d{0,4})$/;

/** Read the header at the start of `bytes`; undefined while its end has not come. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  const found = startsWith(bytes);
  if (found === 'more') return undefined;
  if (found === 'version 2') {
    return { problem: 'it is of version 2, and this server reads version 1 (HAProxy: send-proxy, not send-proxy-v2)' };
  }
  if (found === 'none') return { problem: 'the connection does not begin with one' };
  const end = bytes.subarray(0, LONGEST).indexOf('\r\n');
  if (end < 0) return bytes.length < LONGEST ? undefined : { problem: `it is longer than ${LONGEST} bytes` };
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  // "the receiver must ignore anything presented before the CRLF"
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { address: undefined, length };
  const [, family, source = '', destination = ''] = TCP.exec(line) ?? [];
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  if (family === undefined || !isAddress(source) || !isAddress(destination)) {
    return { problem: 'its line is not "PROXY TCP4|TCP6 source destination port port"' };
  }
  return { address: parseIp(source)?.toString(), length };
}

/** Whether a client begins as a proxy does, with either version. */
export function isProxyHeader(bytes: Buffer): boolean {
  return startsWith(bytes) === 'version 1' || startsWith(bytes) === 'version 2';
}

function startsWith(bytes: Buffer): 'version 1' | 'version 2' | 'none' | 'more' {
  for (const [signature, version] of [
    [VERSION_1, 'version 1'],
    [VERSION_2, 'version 2'],
  ] as const) {
    const length = Math.min(bytes.length, signature.length);
    if (bytes.subarray(0, length).equals(signature.subarray(0, length))) {
      return length === signature.length ? version : 'more';
    }
  }
  return 'none';
}
