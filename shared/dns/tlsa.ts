import { malformed } from './name.ts';

/** TLSA records (RFC 6698 §2.1): usage, selector and matching type in a byte each, then data; as text, `3 1 1 0123…`. */

export function tlsaText(rdata: Buffer): string {
  if (rdata.length < 4) throw malformed('a TLSA record ends too early');
  return `${rdata[0]} ${rdata[1]} ${rdata[2]} ${rdata.toString('hex', 3)}`;
}

/** Of a text as `tlsaText` writes it. */
export function tlsaRdata(text: string): Buffer {
  const [usage, selector, matching, data = ''] = text.split(' ');
  return Buffer.concat([Buffer.from([usage, selector, matching].map(Number)), Buffer.from(data, 'hex')]);
}

/** The record by which a mail host is told by its public key, DANE-EE (RFC 7672 §3.1.1); `key`: its SHA-256 in hex. */
export const tlsaOfKey = (key: string): string => `3 1 1 ${key}`;

/** Where the records of a mail host are (RFC 7672 §2.2). */
export const tlsaName = (host: string): string => `_25._tcp.${host}`;
