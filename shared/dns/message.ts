import { SealpostError } from '../errors.ts';

/**
 * shared/dns/ is DNS on the wire, for any service that needs more than node:dns gives: which server said what, AA, the
 * exact bytes, how long an answer that there is nothing holds. Today these are the credential-store and the checks of
 * policy (services/policy/dns); names of clients (reverse-dns.ts) and delivery (resolver.ts) use node:dns. Of the flags
 * AD is not decoded yet:
 *
 *   message.ts      messages (RFC 1035 §4): encode a query or an update (RFC 2136 §2), decode a response; names
 *   txt.ts, mx.ts   the RDATA of TXT and MX records. Another type of record: its number in `Type` below and a file like these
 *   exchange.ts     one message to one server, and its response
 *
 * It decides nothing. Which servers have a zone, whether a record is published, and updates with their signatures (TSIG)
 * belong to the credential-store (services/credential-store/dns/).
 *
 * This is our own code and not a library, because an update needs records without RDATA and of the classes NONE and ANY,
 * and a signature needs the exact bytes: where a record begins, names uncompressed and in lower case. RDATA stays bytes.
 *
 *   message   header of 12 bytes, then questions, then three sections of records
 *   record    owner name, type (2), class (2), TTL (4), length (2), RDATA
 *   name      labels, each preceded by its length (1-63), ended by length 0; a length byte of 11xxxxxx begins a pointer
 *             to the rest of the name
 *
 * A pointer must point before the position where its name began, as every encoder writes it: so no name has a loop.
 */

export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  DNAME: 39,
  OPT: 41,
  TSIG: 250,
  ANY: 255,
} as const;
export const Class = { IN: 1, NONE: 254, ANY: 255 } as const;
export const Opcode = { QUERY: 0, UPDATE: 5 } as const;
export const Rcode = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, YXRRSET: 7, NXRRSET: 8, BADVERS: 16 } as const;

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
  /** With the upper bits of an OPT record (RFC 6891 §6.1.3). */
  rcode: number;
  questions: Question[];
  answers: ReceivedRecord[];
  authorities: ReceivedRecord[];
  additionals: ReceivedRecord[];
};

const HEADER = 12;
/** Labels and pointers of a name. */
const MAX_NAME_PARTS = 256;
const QR = 0x8000;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;

/** `REFUSED`, or `RCODE 23` for one without a name. */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES[rcode] ?? `RCODE ${rcode}`;
}

/** Fails with `dns-name` when a name is not a domain name. */
export function encodeMessage(request: Request): Buffer {
  const header = Buffer.alloc(HEADER);
  const sections = [request.answers ?? [], request.authorities ?? [], request.additionals ?? []];
  header.writeUInt16BE(request.id, 0);
  header.writeUInt16BE((request.opcode << 11) | (request.recursion ? RD : 0), 2);
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

/** Uncompressed and in lower case, the canonical form that TSIG requires (RFC 8945 §4.3.3). Fails with `dns-name`. */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.toLowerCase().split('.');
  if (!/^[\x21-\x7e]*$/.test(name) || name.length > 253 || labels.some((l) => l === '' || l.length > 63)) {
    throw new SealpostError('dns-name', `${JSON.stringify(name)} is not a domain name that DNS can carry`);
  }
  return Buffer.concat([
    ...labels.flatMap((l) => [Buffer.from([l.length]), Buffer.from(l, 'latin1')]),
    Buffer.alloc(1),
  ]);
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
  const decoded: Question[] = [];
  let at = HEADER;
  for (let i = 0; i < questions; i++) {
    const { name, end } = decodeName(bytes, at);
    decoded.push({ name, type: uint16At(bytes, end) });
    uint16At(bytes, end + 2);
    at = end + 4;
  }
  const [answers = [], authorities = [], additionals = []] = counts.map((count) => {
    const section: ReceivedRecord[] = [];
    for (let i = 0; i < count; i++) {
      const record = decodeRecord(bytes, at);
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
    rcode: (flags & 15) | (((opt?.ttl ?? 0) >>> 24) << 4),
    questions: decoded,
    answers,
    authorities,
    additionals,
  };
}

function decodeRecord(bytes: Buffer, start: number): ReceivedRecord {
  const { name, end } = decodeName(bytes, start);
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

/**
 * A name in lower case without the root dot, and the offset after it. A dot, a backslash or an unprintable character
 * within a label becomes \DDD (RFC 1035 §5.1). Fails with `dns-malformed`.
 */
export function decodeName(bytes: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let end: number | undefined;
  let at = start;
  let before = start;
  let length = 1;
  for (let parts = 0; ; parts++) {
    // No name has more labels, and a chain of pointers without labels would only cost time.
    if (parts > MAX_NAME_PARTS) throw malformed('a name in it has too many pointers');
    const size = bytes[at];
    if (size === undefined) throw malformed('it ends within a name');
    if (size === 0) return { name: labels.join('.'), end: end ?? at + 1 };
    if (size >= 0xc0) {
      const target = uint16At(bytes, at) & 0x3fff;
      if (target >= before) throw malformed('a name in it points to itself or ahead');
      end ??= at + 2;
      before = target;
      at = target;
      continue;
    }
    if (size > 63) throw malformed('a name in it has a label of an unknown kind');
    length += size + 1;
    if (length > 255) throw malformed('a name in it is longer than 255 bytes');
    if (at + 1 + size > bytes.length) throw malformed('it ends within a name');
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + size)));
    at += size + 1;
  }
}

/** The name that is the RDATA of an NS or CNAME record. Fails with `dns-malformed`. */
export function nameOf(response: Response, record: ReceivedRecord): string {
  const { name, end } = decodeName(response.bytes, record.rdataStart);
  if (end !== record.rdataStart + record.rdata.length) throw malformed('a name does not end where its record ends');
  return name;
}

/** The records of a type at exactly a name. */
export function recordsAt(response: Response, name: string, type: number): ReceivedRecord[] {
  const owner = name.toLowerCase();
  return response.answers.filter((r) => r.name === owner && r.type === type && r.class === Class.IN);
}

function labelText(label: Buffer): string {
  return label
    .toString('latin1')
    .toLowerCase()
    .replace(/[^\x21-\x7e]|[.\\]/g, (c) => `\\${String(c.charCodeAt(0)).padStart(3, '0')}`);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function uint16At(bytes: Buffer, at: number): number {
  if (at + 2 > bytes.length) throw malformed('it ends too early');
  return bytes.readUInt16BE(at);
}

export function malformed(what: string): SealpostError {
  return new SealpostError('dns-malformed', `the answer is not a DNS message: ${what}`);
}
