import { SealpostError } from '../errors.ts';
import { nameOf, Rcode, type ReceivedRecord, type Response, recordsAt, Type } from './message.ts';
import { malformed } from './name.ts';
import { type RecordData, type RecordType, recordData } from './records.ts';

/**
 * What a response says to a question. Nothing of it is trusted: records of other names, types and classes are passed
 * over, and what cannot be read is no answer.
 */

/**
 * - found: all records of the name, or of what its aliases lead to
 * - none: there is no such record; `exists`: the name, or the last one of its aliases, is there with others (RFC 6604 §3)
 * - alias: the name is an alias of `target`, of which the response says nothing
 * `ttl` in seconds.
 */
export type Said<T extends RecordType = RecordType> = { ttl: number } & (
  | { kind: 'found'; records: RecordData[T][] }
  | { kind: 'none'; exists: boolean }
  | { kind: 'alias'; target: string }
);

/** Aliases followed in one response. */
const MOST_ALIASES = 16;
/** How long "there is nothing" holds where the answer does not say. */
const NONE_S = 60;

/** `owner` as `decodeName` writes it. Fails with `dns-malformed` and, for aliases without an end, `dns-alias`. */
export function readAnswer<T extends RecordType>(response: Response, owner: string, type: T): Said<T> {
  let name = owner;
  let ttl = Number.POSITIVE_INFINITY;
  for (let aliases = 0; aliases <= MOST_ALIASES; aliases++) {
    const found = recordsAt(response, name, Type[type]);
    if (found.length > 0) {
      const records = found.map((record) => recordData(type, response, record));
      return { kind: 'found', records, ttl: Math.min(ttl, ...found.map((record) => record.ttl)) };
    }
    const [alias] = recordsAt(response, name, Type.CNAME);
    if (alias === undefined) return nothing(response, name, aliases > 0, ttl);
    ttl = Math.min(ttl, alias.ttl);
    name = nameOf(response, alias);
  }
  throw aliasLoop(owner);
}

function nothing(response: Response, name: string, isAlias: boolean, ttl: number): Said & { kind: 'none' | 'alias' } {
  const at = (type: number) => response.authorities.find((record) => record.type === type);
  const soa = at(Type.SOA);
  if (response.rcode === Rcode.NOERROR && soa === undefined) {
    if (isAlias) return { kind: 'alias', target: name, ttl };
    // A server that does not recurse says where else to ask (RFC 2308 §2.2), which is not that there is nothing.
    if (at(Type.NS) !== undefined) throw malformed('it names other servers to ask');
  }
  return { kind: 'none', exists: response.rcode === Rcode.NOERROR, ttl: Math.min(ttl, noneSeconds(soa)) };
}

/** How long there is nothing: the smaller one of the TTL of the SOA record and its last field (RFC 2308 §5). */
function noneSeconds(soa: ReceivedRecord | undefined): number {
  if (soa === undefined || soa.rdata.length < 22) return NONE_S;
  return Math.min(soa.ttl, soa.rdata.readUInt32BE(soa.rdata.length - 4));
}

export function aliasLoop(name: string): SealpostError {
  return new SealpostError('dns-alias', `the aliases of ${name} lead back to one of them, or are too many (CNAME)`);
}
