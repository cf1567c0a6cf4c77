import type { DnsRecord } from './message.ts';
import { malformed } from './name.ts';

/**
 * TXT records (RFC 1035 §3.3.14), on the wire and in a zone file. A value is one text for people and programs; in the
 * record it is a sequence of character-strings that readers join without a space (RFC 6376 §3.6.2.2, RFC 7208 §3.3).
 */

/** Longest character-string in bytes (RFC 1035 §3.3). */
const MAX_STRING_BYTES = 255;

/** An ASCII value as character-strings of at most 255 bytes. */
export function txtStrings(value: string): string[] {
  const strings: string[] = [];
  for (let at = 0; at < value.length; at += MAX_STRING_BYTES) strings.push(value.slice(at, at + MAX_STRING_BYTES));
  return strings.length === 0 ? [''] : strings;
}

/** The RDATA of a record with this value. */
export function txtRdata(value: string): Buffer {
  return Buffer.concat(
    txtStrings(value).map((text) => {
      const bytes = Buffer.from(text, 'latin1');
      return Buffer.concat([Buffer.from([bytes.length]), bytes]);
    }),
  );
}

/** The value of a record, each byte one character. Fails with `dns-malformed`. */
export function txtOf({ rdata }: DnsRecord): string {
  const strings: Buffer[] = [];
  let at = 0;
  while (at < rdata.length) {
    const end = at + 1 + rdata.readUInt8(at);
    if (end > rdata.length) throw malformed('a string of a TXT record ends after its record');
    strings.push(rdata.subarray(at + 1, end));
    at = end;
  }
  // In one piece: a text put together of thousands of pieces takes many times its length of memory.
  return Buffer.concat(strings).toString('latin1');
}

/** The record as a line of a zone file (RFC 1035 §5.1): absolute name, strings split and quoted. `ttl` in seconds. */
export function zoneLine({ name, ttl, value }: { name: string; ttl: number; value: string }): string {
  const strings = txtStrings(value).map((s) => `"${s.replace(/["\\]/g, '\\$&')}"`);
  return `${name}. ${ttl} IN TXT ( ${strings.join(' ')} )`;
}

/** Whether two values say the same: white space and a semicolon at the end do not matter (RFC 8461 §3.1, RFC 8460 §3). */
export function isSameText(a: string, b: string): boolean {
  const bare = (text: string): string => text.replace(/[ \t]/g, '').replace(/;$/, '');
  return bare(a) === bare(b);
}
