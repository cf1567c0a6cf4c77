/**
 * Messages of an LDAP server (RFC 4511 §4), read from a stream. Requests are written by `ldapts`; answers are read here,
 * because nothing that a server sends may cost more than it is long: a length that leads out of what holds it, a type that
 * does not belong there and a message larger than `LARGEST_MESSAGE` are errors, after which the connection is of no use.
 *
 * BER as LDAP restricts it (§5.1): definite lengths, and here at most four bytes of them.
 */

/** A group of 100,000 members takes about 10 MB. */
export const LARGEST_MESSAGE: number = 16 * 1024 * 1024;
/** Of an entry; we ask for a few. */
const MOST_ATTRIBUTES = 100;

export type LdapMessage =
  | { id: number; kind: 'entry'; entry: RawEntry }
  | { id: number; kind: 'reference'; urls: string[] }
  /** `referral`: the URLs of result 10. */
  | { id: number; kind: 'bound' | 'found' | 'extended'; code: number; text: string; referral: string[] }
  /** Of no interest: RFC 4511 §4.13. */
  | { id: number; kind: 'other' };

/**
 * Values by the name of their attribute, which is in lower case and may have options (`member;range=0-1499`). They are read
 * when they are asked for, and only so many: a group may have 100,000 members. Fails with `MalformedMessage`.
 */
export type RawEntry = { dn: string; attributes: ReadonlyMap<string, (most: number) => Buffer[]> };

export class MalformedMessage extends Error {
  override name = 'MalformedMessage';
}

const Tag = {
  integer: 0x02,
  octets: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
  bindResponse: 0x61,
  searchEntry: 0x64,
  searchDone: 0x65,
  searchReference: 0x73,
  extendedResponse: 0x78,
  referral: 0xa3,
} as const;

const RESULTS: Record<number, 'bound' | 'found' | 'extended'> = {
  [Tag.bindResponse]: 'bound',
  [Tag.searchDone]: 'found',
  [Tag.extendedResponse]: 'extended',
};

/** Cuts the bytes of a connection into messages. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #size = 0;

  /** The messages that are complete with these bytes. Fails with `MalformedMessage`. */
  read(bytes: Buffer): LdapMessage[] {
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    const messages: LdapMessage[] = [];
    for (let message = this.#next(); message !== undefined; message = this.#next()) messages.push(parse(message));
    return messages;
  }

  /** The content of the next message, if all of it is there. */
  #next(): Buffer | undefined {
    const [first] = this.#chunks;
    if (first === undefined) return undefined;
    // A header has at most six bytes: rarely are they in two pieces.
    const start = first.length >= 6 ? first : Buffer.concat(this.#chunks);
    if (start !== first) this.#chunks = [start];
    const header = headerOf(start, 0);
    if (header === undefined) return undefined;
    if (header.tag !== Tag.sequence) throw new MalformedMessage('what it sent is no LDAP message');
    if (header.length > LARGEST_MESSAGE) throw new MalformedMessage(`a message of ${header.length} bytes is too large`);
    const end = header.start + header.length;
    if (this.#size < end) return undefined;
    const all = this.#chunks.length === 1 ? start : Buffer.concat(this.#chunks);
    this.#chunks = all.length > end ? [all.subarray(end)] : [];
    this.#size = all.length - end;
    return all.subarray(header.start, end);
  }
}

type Element = { tag: number; content: Buffer };

function parse(content: Buffer): LdapMessage {
  const [id, operation] = elements(content, 3);
  if (id?.tag !== Tag.integer || operation === undefined) throw new MalformedMessage('a message has no operation');
  const number = integerOf(id);
  const kind = RESULTS[operation.tag];
  if (kind !== undefined) return { id: number, kind, ...resultOf(operation) };
  if (operation.tag === Tag.searchEntry) return { id: number, kind: 'entry', entry: entryOf(operation) };
  if (operation.tag === Tag.searchReference) {
    return { id: number, kind: 'reference', urls: elements(operation.content, 1).map(textOf) };
  }
  return { id: number, kind: 'other' };
}

/** RFC 4511 §4.1.9. */
function resultOf({ content }: Element): { code: number; text: string; referral: string[] } {
  const [code, matched, text, referral] = elements(content, 4);
  if (code?.tag !== Tag.enumerated || matched === undefined || text === undefined) {
    throw new MalformedMessage('a result has no code or text');
  }
  const urls = referral?.tag === Tag.referral ? elements(referral.content, 1).map(textOf) : [];
  return { code: integerOf(code), text: textOf(text), referral: urls };
}

/** RFC 4511 §4.5.2. */
function entryOf({ content }: Element): RawEntry {
  const [name, list] = elements(content, 2);
  if (name === undefined || list?.tag !== Tag.sequence) throw new MalformedMessage('an entry has no attributes');
  const attributes = new Map<string, (most: number) => Buffer[]>();
  for (const { tag, content: attribute } of elements(list.content, MOST_ATTRIBUTES)) {
    const [type, values] = tag === Tag.sequence ? elements(attribute, 2) : [];
    if (type === undefined || values?.tag !== Tag.set) throw new MalformedMessage('an attribute has no values');
    attributes.set(textOf(type).toLowerCase(), (most) => elements(values.content, most).map(octetsOf));
  }
  return { dn: textOf(name), attributes };
}

/** The first `most` elements that a constructed one holds. */
function elements(content: Buffer, most: number): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < content.length && found.length < most; ) {
    const header = headerOf(content, at);
    const end = header === undefined ? Number.POSITIVE_INFINITY : header.start + header.length;
    if (header === undefined || end > content.length) throw new MalformedMessage('a length in a message does not fit');
    found.push({ tag: header.tag, content: content.subarray(header.start, end) });
    at = end;
  }
  return found;
}

/** undefined: bytes are missing. */
function headerOf(bytes: Buffer, at: number): { tag: number; length: number; start: number } | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return { tag, length: first, start: at + 2 };
  const more = first & 0x7f;
  if (more === 0 || more > 4) throw new MalformedMessage('a length in a message is not one of LDAP');
  if (bytes.length < at + 2 + more) return undefined;
  return { tag, length: bytes.readUIntBE(at + 2, more), start: at + 2 + more };
}

function integerOf({ content }: Element): number {
  if (content.length === 0 || content.length > 4)
    throw new MalformedMessage('a number in a message has a wrong length');
  return content.readIntBE(0, content.length);
}

function octetsOf({ tag, content }: Element): Buffer {
  if (tag !== Tag.octets) throw new MalformedMessage('a value in a message has a wrong type');
  return content;
}

const textOf = (element: Element): string => octetsOf(element).toString('utf8');
