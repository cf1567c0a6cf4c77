import { dkimRecordName, dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { txtStrings, zoneLine } from '#shared/dns/txt.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';

/**
 * The record of a key in the forms that people need. A key that is to be revoked or is revoked has one whose p= is
 * empty (RFC 6376 §3.6.1).
 */
export type KeyDnsRecord = {
  /** Where it stands, without the root dot. */
  name: string;
  type: 'TXT';
  /** Seconds. */
  ttl: number;
  /** As one text, for a provider's form. */
  value: string;
  /** The same in strings of at most 255 bytes (RFC 1035 §3.3), for a form that wants them one by one. */
  strings: string[];
  /** The same as a line of a zone file. */
  zone: string;
  /** Where the record stands elsewhere: the line for the zone of the domain itself, which is set up once. */
  cname?: string;
};

/** A key that ends without having signed leaves nothing in DNS, not even an empty record. */
export function leavesNothing(key: KeyStatus): boolean {
  return !key.signed && (key.state === 'retired' || key.state === 'revoked');
}

/** What to do in DNS about a key that leaves nothing there. */
export function removalText(key: KeyStatus): string {
  return `remove the TXT record at ${key.record}, if there is one: the key never signed, and nothing takes its place`;
}

export function recordOf(key: KeyStatus): KeyDnsRecord {
  const value = key.state === 'retired' || key.state === 'revoked' ? revokedRecordValue(key) : dkimRecordValue(key);
  const owner = dkimRecordName(key);
  return {
    name: key.record,
    type: 'TXT',
    ttl: key.ttl,
    value,
    strings: txtStrings(value),
    zone: zoneLine({ name: key.record, ttl: key.ttl, value }),
    ...(key.publish === 'cname' && { cname: `${owner}. IN CNAME ${key.record}.` }),
  };
}

/** Lines of zone files that publish the key, with comments where they belong to two zones. */
export function zoneText(record: KeyDnsRecord): string {
  if (record.cname === undefined) return record.zone;
  return [
    '; in the zone that Sealpost updates, by itself:',
    record.zone,
    '; in the zone of the domain, once:',
    record.cname,
  ].join('\n');
}
