import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import { Class, type DnsRecord, Rcode, rcodeName, Type } from '#shared/dns/message.ts';
import { txtOf, txtRdata } from '#shared/dns/txt.ts';
import { reasonText } from '#shared/errors.ts';
import { excerpt } from '#shared/text.ts';
import { isRightKey, isSameRecord } from './judge.ts';
import {
  absent,
  type Connection,
  connection,
  deletion,
  type PublishOptions,
  recordsOf,
  trouble,
  update,
} from './zone-update.ts';

/**
 * TXT records written into a zone by dynamic update (zone-update.ts).
 *
 * A record that is not ours is never lost. Each update carries as a prerequisite what is expected at the name, exact to
 * the byte (§2.4); the server checks it and changes the zone atomically. To write a value:
 *
 *   1. ask whose zone the name is in (zone-cut.ts). Another one's than that of the update: refused
 *   2. expect no TXT record and no alias at the name
 *   3. update with that prerequisite. Accepted: done. YXRRSET: 4. NXRRSET: 2 again. Any other rcode fails.
 *   4. ask the server for the records at the name. An alias or a record of others: refused. Exactly the value with the
 *      TTL, or its key as another program writes it: done. Otherwise expect what was seen, and 3 again, a few times.
 *
 * The prerequisite comes before the question, because an answer does not tell a record from one that a wildcard
 * synthesizes (`*.example.com TXT "v=spf1 -all"` is common). An alias needs a prerequisite of its own: a record added
 * beside one is silently ignored (§3.4.2.2).
 *
 * Each operation may be repeated. It fails with `dns-refused` or `dns-failed`: trouble.ts says which, and why.
 */

const TRIES = 4;

/** `name` without the root dot; `ttl` in seconds. */
export type TxtRecord = { name: string; value: string; ttl: number };

/** Write a TXT record. Refused where the name has any other TXT record. */
export function publishTxt(zone: ZoneConfig, record: TxtRecord, options?: PublishOptions): Promise<void> {
  return replaceTxt(zone, record, [], options);
}

/**
 * Write a TXT record in place of those with the values `from`, or of none. Refused where the name has any other TXT
 * record.
 */
export async function replaceTxt(
  zone: ZoneConfig,
  { name, value, ttl }: TxtRecord,
  from: readonly string[],
  options: PublishOptions = {},
): Promise<void> {
  const to = await connection(zone, name, options);
  let expected: DnsRecord[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const rcode = await update(to, prerequisites(to.name, expected), [
      { name: to.name, type: Type.TXT, class: Class.ANY, ttl: 0, rdata: Buffer.alloc(0) },
      { name: to.name, type: Type.TXT, class: Class.IN, ttl, rdata: txtRdata(value) },
    ]);
    if (rcode === Rcode.NOERROR) return;
    expected = rcode === Rcode.YXRRSET ? await textsOf(to) : [];
    const foreign = expected.map(txtOf).find((text) => ![value, ...from].some((own) => isSameRecord(text, own)));
    if (foreign !== undefined) {
      throw trouble(
        to,
        'foreign record',
        `${to.name} already has another TXT record, which was not changed: ${excerpt(foreign, 60)}; ${to.otherwise}`,
      );
    }
    if (expected.length === 1 && expected.every((r) => isWritten(r, value, ttl))) return;
  }
  throw trouble(to, 'moving records', `the records at ${to.name} keep changing: another program updates them too`);
}

/** Exactly the value with the TTL; or the same key as an administrator or another program wrote it, on purpose perhaps. */
function isWritten(record: DnsRecord, value: string, ttl: number): boolean {
  const text = txtOf(record);
  return text === value ? record.ttl === ttl : isRightKey(text, value);
}

/**
 * Remove the TXT records with these values, or with their keys written in another way; other records stay. There may be
 * none.
 */
export async function removeTxt(
  zone: ZoneConfig,
  name: string,
  ours: readonly string[],
  options: PublishOptions = {},
): Promise<void> {
  const to = await connection(zone, name, options);
  const found = (await textsOf(to, 'any')).filter((record) => ours.some((own) => isSameRecord(txtOf(record), own)));
  if (found.length === 0) return;
  const rcode = await update(to, [], found.map(deletion));
  if (rcode !== Rcode.NOERROR) {
    throw trouble(to, rcodeName(rcode), `answers ${rcodeName(rcode)} to an update without prerequisites`);
  }
}

/** Exactly these TXT records at the name, or none, and no alias (RFC 2136 §2.4.2, §2.4.3). */
function prerequisites(name: string, expected: DnsRecord[]): DnsRecord[] {
  const present = expected.map(({ rdata }) => ({ name, type: Type.TXT, class: Class.IN, ttl: 0, rdata }));
  return [absent(name, Type.CNAME), ...(present.length === 0 ? [absent(name, Type.TXT)] : present)];
}

/** The TXT records at the name. */
async function textsOf(to: Connection, alias?: 'any'): Promise<DnsRecord[]> {
  const records = await recordsOf(to, 'TXT', alias);
  try {
    for (const record of records) txtOf(record);
  } catch (error) {
    throw trouble(to, 'no answer', reasonText(error));
  }
  return records;
}
