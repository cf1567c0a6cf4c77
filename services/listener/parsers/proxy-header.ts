import { isIPv4, isIPv6 } from 'node:net';
import { parseIp } from '#shared/address/ip-address.ts';

/**
 * The header that a proxy sends in front of what the client says: versions 1 and 2 of the PROXY protocol
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, §2.1 and §2.2).
 *
 * Version 1 is a line. Version 2 is binary: 12 octets of signature, one of version and command, one of address family and
 * protocol, two with the length of what follows: the addresses, then any number of extensions (TLVs), which are skipped.
 */

/**
 * `address`: the client's; undefined: the proxy does not say whose connection it is (`UNKNOWN`, `LOCAL`, `UNSPEC`, a socket
 * of its own machine), so that it is the proxy's own. `length`: bytes of the header.
 */
export type ProxyHeader = { address: string | undefined; length: number } | { problem: string };

const VERSION_1 = Buffer.from('PROXY ');
const VERSION_2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n');

/** Read the header at the start of `bytes`; undefined while its end has not come. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  switch (startsWith(bytes)) {
    case 'version 1':
      return readLine(bytes);
    case 'version 2':
      return readBinary(bytes);
    case 'none':
      return { problem: 'the connection does not begin with one' };
    case 'more':
      return undefined;
  }
}

/** §2.1: "the maximum line length the receiver must support". */
const LONGEST_LINE = 107;
const TCP = /^PROXY (TCP4|TCP6) (\S+) (\S+) (?:0|[1-9]\d{0,4}) (?:0|[1-9]\d{0,4})$/;

function readLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, LONGEST_LINE).indexOf('\r\n');
  if (end < 0) return bytes.length < LONGEST_LINE ? undefined : { problem: `it is longer than ${LONGEST_LINE} bytes` };
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

const FIXED = 16;
/** Far more than the extensions that proxies send, a certificate of a client among them. */
const LONGEST_BINARY = 4096;

/** Octets of the addresses and ports of a family, and of the source address at their start (§2.2). */
const FAMILIES = new Map<number, { name: string; octets: number; source: number }>([
  [0x11, { name: 'TCP over IPv4', octets: 12, source: 4 }],
  [0x21, { name: 'TCP over IPv6', octets: 36, source: 16 }],
  [0x31, { name: 'a UNIX stream', octets: 216, source: 0 }],
]);

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < FIXED) return undefined;
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 15;
  if (version !== 2) return { problem: `it has the signature of version 2, and says that it is of version ${version}` };
  // §2.2: "Receivers must drop connections presenting unexpected values here."
  if (command > 1) return { problem: `its command is ${command}, not LOCAL or PROXY` };
  const length = FIXED + bytes.readUInt16BE(14);
  if (length > LONGEST_BINARY) return { problem: `it has ${length} bytes, more than ${LONGEST_BINARY}` };
  if (bytes.length < length) return undefined;
  const family = bytes.readUInt8(13);
  // A proxy speaks for itself (LOCAL, a health check), whatever addresses it names, or of no family that it knows (UNSPEC).
  if (command === 0 || family === 0) return { address: undefined, length };
  const form = FAMILIES.get(family);
  if (form === undefined) return { problem: `its protocol is 0x${family.toString(16).padStart(2, '0')}, not TCP` };
  if (length < FIXED + form.octets) return { problem: `it is too short for the addresses of ${form.name}` };
  const source = bytes.subarray(FIXED, FIXED + form.source);
  return { address: form.source === 0 ? undefined : addressOf(source), length };
}

function addressOf(octets: Buffer): string | undefined {
  const text = octets.length === 4 ? octets.join('.') : octets.toString('hex').match(/.{4}/g)?.join(':');
  return parseIp(text ?? '')?.toString();
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
