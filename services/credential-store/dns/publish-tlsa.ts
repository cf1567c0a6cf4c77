import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import { Class, Rcode, Type } from '#shared/dns/message.ts';
import { tlsaRdata } from '#shared/dns/tlsa.ts';
import { absent, aliasTrouble, connection, deletion, type PublishOptions, update } from './zone-update.ts';

/**
 * TLSA records written into a zone by dynamic update (zone-update.ts). A host may have any number of them, and is believed
 * where one matches: so records are added beside those of others, and only those that are named are removed, by their exact
 * data. Both happen in one update, which the server makes whole or not at all.
 */

/** `values` in the form of zone files (shared/dns/tlsa.ts), `name` without the root dot; `ttl` in seconds. */
export type TlsaSet = { name: string; values: readonly string[]; ttl: number };

/** May be repeated. Refused where the name is an alias. */
export async function updateTlsa(
  zone: ZoneConfig,
  { name, values, ttl }: TlsaSet,
  remove: readonly string[],
  options: PublishOptions = {},
): Promise<void> {
  const to = await connection(zone, name, options);
  const record = (value: string) => ({ name: to.name, type: Type.TLSA, rdata: tlsaRdata(value) });
  const rcode = await update(
    to,
    // RFC 2136 §3.4.2.2: beside an alias, an addition is silently ignored.
    [absent(to.name, Type.CNAME)],
    [
      ...values.map((value) => ({ ...record(value), class: Class.IN, ttl })),
      ...remove.map((value) => deletion(record(value))),
    ],
  );
  if (rcode !== Rcode.NOERROR) throw aliasTrouble(to, 'TLSA');
}
