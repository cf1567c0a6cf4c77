import { parseIp } from '../address/ip-address.ts';
import { nameOf, type ReceivedRecord, type Response } from './message.ts';
import { decodeName, malformed } from './name.ts';
import { txtOf } from './txt.ts';

/** The types of records that somebody looks up, and what is read of one. Another type: a row here and its number in `Type`. */

/** `exchange` is '' for the root, which makes a record a null MX (RFC 7505 §3). */
export type MxRecord = { exchange: string; priority: number };

/** Addresses are in their canonical text (RFC 5952), names in lower case without the root dot; of a TXT each byte is a character. */
export type RecordData = {
  A: string;
  AAAA: string;
  CNAME: string;
  MX: MxRecord;
  NS: string;
  PTR: string;
  TLSA: Buffer;
  TXT: string;
};
export type RecordType = keyof RecordData;

/** Each fails with `dns-malformed`. */
const PARSE: { [T in RecordType]: (response: Response, record: ReceivedRecord) => RecordData[T] } = {
  A: (_, { rdata }) => addressText(rdata, 4),
  AAAA: (_, { rdata }) => addressText(rdata, 16),
  CNAME: nameOf,
  MX: mxOf,
  NS: nameOf,
  PTR: nameOf,
  // A copy: a piece of the message would keep all of it in memory.
  TLSA: (_, { rdata }) => Buffer.from(rdata),
  TXT: (_, record) => txtOf(record),
};

export function recordData<T extends RecordType>(type: T, response: Response, record: ReceivedRecord): RecordData[T] {
  return PARSE[type](response, record);
}

/** How many bytes of memory a record takes, about. */
export function recordSize(data: RecordData[RecordType]): number {
  return typeof data === 'string' || Buffer.isBuffer(data) ? data.length : data.exchange.length;
}

function addressText(rdata: Buffer, length: number): string {
  if (rdata.length !== length) throw malformed('an address record does not have the length of an address');
  if (length === 4) return rdata.join('.');
  const groups = rdata.toString('hex').replace(/.{4}(?!$)/g, '$&:');
  const address = parseIp(groups);
  // An IPv4 address that is mapped into IPv6 stays what the record says.
  return address?.kind() === 'ipv6' ? address.toString() : groups;
}

/** A preference of two bytes, then the name of the host (RFC 1035 §3.3.9). */
function mxOf(response: Response, { rdata, rdataStart }: ReceivedRecord): MxRecord {
  if (rdata.length < 3) throw malformed('an MX record ends too early');
  const { name, end } = decodeName(response.bytes, rdataStart + 2, response.names);
  if (end !== rdataStart + rdata.length) throw malformed('a name does not end where its record ends');
  return { exchange: name, priority: rdata.readUInt16BE(0) };
}
