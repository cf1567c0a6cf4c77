import { withParents } from '#shared/address/domains.ts';
import { nameOf, Rcode, type ReceivedRecord, type Response, Type } from '#shared/dns/message.ts';

/**
 * Whether a name that lies below a zone's origin is in that zone. `_domainkey.example.com` is often a zone of its own, so
 * that it can be updated or delegated alone; then records of the parent zone below it are hidden, though a server takes
 * updates for them. What a server of the zone answers tells it, whether it has the other zone too or not:
 *
 *   it has the other zone   the SOA record of the answer, or of the authority section, has that zone's name
 *   it does not             it refers to the other zone's name servers, NS records in the authority section, without AA
 *   DNAME                   everything below its owner is elsewhere (RFC 6672 §2.3)
 */

/** Why a name is not in `zone`, by an answer about the name; undefined where it is, or the answer does not tell. */
export function cutBelow(zone: string, name: string, response: Response): string | undefined {
  if (response.rcode !== Rcode.NOERROR && response.rcode !== Rcode.NXDOMAIN) return undefined;
  const below = [...withParents(name)].filter((parent) => parent !== zone && parent.endsWith(`.${zone}`));
  const at = (records: readonly ReceivedRecord[], type: number): ReceivedRecord[] =>
    records.filter((r) => r.type === type && below.includes(r.name));
  const { answers, authorities, authoritative } = response;
  const [dname] = at(answers, Type.DNAME);
  if (dname !== undefined && dname.name !== name) {
    return `${name} is elsewhere, because ${dname.name} is an alias for everything below it (DNAME): publish it there by hand`;
  }
  const [soa] = [...at(answers, Type.SOA), ...at(authorities, Type.SOA)];
  const referral = authoritative ? [] : at(authorities, Type.NS);
  const cut = soa ?? referral[0];
  if (cut === undefined) return undefined;
  const servers = referral.map((record) => nameOf(response, record)).join(', ');
  const where = servers === '' ? '' : ` at ${servers}`;
  return `${name} is in ${cut.name}, which is a zone of its own${where}: add it to dns.zones, with its update settings`;
}
