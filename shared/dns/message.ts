import { decodeName, encodeName, type KnownNames, malformed, uint16At } from './name.ts';

/**
 * shared/dns/ is DNS for any service that needs more than node:dns gives: which server said what, AA and AD, the exact
 * bytes, how long an answer that there is nothing holds:
 *
 *   message.ts    messages (RFC 1035 §4): encode a query or an update (RFC 2136 §2), decode a response
 *   name.ts       names, in messages and as text
 *   txt.ts        TXT records, on the wire and in a zone file
 *   exchange.ts   one message to one server, and its response
 *   records.ts    what is read of a record. Another type of record: its number in `Type` below and a row there
 *   answer.ts     what a response says to a question, through its aliases
 *   resolver.ts   questions to resolvers, with a cache (answer-cache.ts): what nearly everybody wants
 *   mailauth-resolver.ts   the same for mailauth
 *
 * Which servers have a zone, whether a record is published, and updates with their signatures (TSIG) belong to the
 * credential-store (services/credential-store/dns/).
 *
 * This is our own code and not a library, because an update needs records without RDATA and of the classes NONE and ANY,
 * and a signature needs the exact bytes: where a record begins, names uncompressed and in lower case. RDATA stays bytes.
 *
 *   message   header of 12 bytes, then questions, then three sections of records
 *   record    owner name, type (2), class (2), TTL (4), length (2), RDATA
 */

export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  TLSA: 52,
  TSIG: 250,
  ANY: 255,
} as const;
export const Class = { IN: 1, NONE: 254, ANY: 255 } as const;
export const Opcode = { QUERY: 0, UPDATE: 5 } as const;
export const Rcode = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  YXRRSET: 7,
  NXRRSET: 8,
  BADVERS: 16,
} as const;

/** RFC 6895 §2.3. 16 is BADVERS with EDNS, and BADSIG in a TSIG record, as are those above. */
const RCODE_NAMES: Record<number, string> = {
  0: 'NOERROR',
  1: 'FORMERR',
  2: 'SERVFAIL',
  3: 'NXDOMAIN',
  4: 'NOTIMP',
  5: 'REFUSED',
  6: 'YXDOMAIN',
  7: 'YXRRSET',
  8: 'NXRRSET',
  9: 'NOTAUTH',
  10: 'NOTZONE',
  16: 'BADVERS',
  17: 'BADKEY',
  18: 'BADTIME',
  22: 'BADTRUNC',
};

export type Question = { name: string; type: number };
export type DnsRecord = { name: string; type: number; class: number; ttl: number; rdata: Buffer };
/** `start`: where the record begins in its message; `rdataStart`: where its RDATA does. */
export type ReceivedRecord = DnsRecord & { start: number; rdataStart: number };

export type Request = {
  id: number;
  opcode: number;
  recursion?: boolean;
  /** AD in a query: say whether the answer is verified (RFC 6840 §5.7). */
  authenticated?: boolean;
  question: Question;
  /** In an update these three are prerequisites, updates and additional data. */
  answers?: DnsRecord[];
  authorities?: DnsRecord[];
  additionals?: DnsRecord[];
};

export type Response = {
  bytes: Buffer;
  id: number;
  opcode: number;
  /** AA: the server has the zone itself. */
  authoritative: boolean;
  /** AD: the server says that it has verified the answer with DNSSEC (RFC 4035 §3.2.3). */
  authenticated: boolean;
  /** With the upper bits of an OPT record (RFC 6891 §6.1.3). */
  rcode: number;
  questions: Question[];
  answers: ReceivedRecord[];
  authorities: ReceivedRecord[];
  additionals: ReceivedRecord[];
  /** For names in the data of its records. */
  names: KnownNames;
};

const HEADER = 12;
const QR = 0x8000;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const AD = 0x0020;

/** `REFUSED`, or `RCODE 23` for one without a name. */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES[rcode] ?? `RCODE ${rcode}`;
}

/** Fails with `dns-name` when a name is not a domain name. */
export function encodeMessage(request: Request): Buffer {
  const header = Buffer.alloc(HEADER);
  const sections = [request.answers ?? [], request.authorities ?? [], request.additionals ?? []];
  header.writeUInt16BE(request.id, 0);
  const flags = (request.recursion ? RD : 0) | (request.authenticated ? AD : 0);
  header.writeUInt16BE((request.opcode << 11) | flags, 2);
  header.writeUInt16BE(1, 4);
  for (const [i, section] of sections.entries()) header.writeUInt16BE(section.length, 6 + 2 * i);
  const question = Buffer.concat([encodeName(request.question.name), uint16(request.question.type), uint16(Class.IN)]);
  return Buffer.concat([header, question, ...sections.flat().map(encodeRecord)]);
}

export function encodeRecord(record: DnsRecord): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(record.type, 0);
  fixed.writeUInt16BE(record.class, 2);
  fixed.writeUInt32BE(record.ttl, 4);
  fixed.writeUInt16BE(record.rdata.length, 8);
  return Buffer.concat([encodeName(record.name), fixed, record.rdata]);
}

/** The id, whether it is a response, and whether it is truncated (TC); undefined for bytes without a whole header. */
export function peek(bytes: Buffer): { id: number; response: boolean; truncated: boolean } | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = bytes.readUInt16BE(2);
  return { id: bytes.readUInt16BE(0), response: (flags & QR) !== 0, truncated: (flags & TC) !== 0 };
}

/** What follows the last record is ignored, as others do. Fails with `dns-malformed`, whatever the bytes are. */
export function decodeMessage(bytes: Buffer): Response {
  if (bytes.length < HEADER) throw malformed('it ends within its header');
  const flags = bytes.readUInt16BE(2);
  const [questions = 0, ...counts] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const names: KnownNames = new Map();
  const decoded: Question[] = [];
  let at = HEADER;
  for (let i = 0; i < questions; i++) {
    const { name, end } = decodeName(bytes, at, names);
    decoded.push({ name, type: uint16At(bytes, end) });
    uint16At(bytes, end + 2);
    at = end + 4;
  }
  const [answers = [], authorities = [], additionals = []] = counts.map((count) => {
    const section: ReceivedRecord[] = [];
    for (let i = 0; i < count; i++) {
      const record = decodeRecord(bytes, at, names);
      section.push(record);
      at = record.rdataStart + record.rdata.length;
    }
    return section;
  });
  const opt = additionals.find((record) => record.type === Type.OPT);
  return {
    bytes,
    id: bytes.readUInt16BE(0),
    opcode: (flags >> 11) & 15,
    authoritative: (flags & AA) !== 0,
    authenticated: (flags & AD) !== 0,
    rcode: (flags & 15) | (((opt?.ttl ?? 0) >>> 24) << 4),
    questions: decoded,
    answers,
    authorities,
    additionals,
    names,
  };
}

function decodeRecord(bytes: Buffer, start: number, names: KnownNames): ReceivedRecord {
  const { name, end } = decodeName(bytes, start, names);
  if (end + 10 > bytes.length) throw malformed('it ends within a record');
  const rdataStart = end + 10;
  const length = bytes.readUInt16BE(end + 8);
  if (rdataStart + length > bytes.length) throw malformed('it ends within the data of a record');
  return {
    name,
    type: bytes.readUInt16BE(end),
    class: bytes.readUInt16BE(end + 2),
    ttl: bytes.readUInt32BE(end + 4),
    rdata: bytes.subarray(rdataStart, rdataStart + length),
    start,
    rdataStart,
  };
}

/** The name that is the RDATA of an NS or CNAME record. Fails with `dns-malformed`. */
export function nameOf(response: Response, record: ReceivedRecord): string {
  const { name, end } = decodeName(response.bytes, record.rdataStart, response.names);
  if (end !== record.rdataStart + record.rdata.length) throw malformed('a name does not end where its record ends');
  return name;
}

/** The records of a type at exactly a name. */
export function recordsAt(response: Response, name: string, type: number): ReceivedRecord[] {
  const owner = name.toLowerCase();
  return response.answers.filter((r) => r.name === owner && r.type === type && r.class === Class.IN);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}
