import { SealpostError } from '../errors.ts';

/**
 * Names in DNS messages (RFC 1035 §4.1.4): labels, each preceded by its length (1-63), ended by length 0; a length byte
 * of 11xxxxxx begins a pointer to the rest of the name. A pointer must point before the position where its name began,
 * as every encoder writes it: so no name has a loop.
 *
 * As text they are in lower case and without the root dot; a byte that would be misread is \DDD (RFC 1035 §5.1).
 */

/** Of one name. */
const MAX_POINTERS = 256;

/**
 * Uncompressed and in lower case, the canonical form that TSIG requires (RFC 8945 §4.3.3). Of a backslash only \DDD is
 * taken, as `decodeName` writes it. Fails with `dns-name`.
 */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.toLowerCase().split('.').map(labelBytes);
  const encoded = Buffer.concat([...labels.flatMap((l) => [Buffer.from([l.length]), l]), Buffer.alloc(1)]);
  const sound = /^(?:[\x21-\x5b\x5d-\x7e]|\\(?:[01]\d\d|2[0-4]\d|25[0-5]))*$/.test(name);
  if (!sound || encoded.length > 255 || labels.some((l) => l.length === 0 || l.length > 63)) {
    throw new SealpostError('dns-name', `${JSON.stringify(name)} is not a domain name that DNS can carry`);
  }
  return encoded;
}

/** A name whose characters stand for themselves, as `encodeName` takes it: spaces and backslashes become \DDD. */
export function escapedName(name: string): string {
  return name.replace(/[^\x21-\x5b\x5d-\x7e\x80-\uffff]/g, escaped);
}

function labelBytes(label: string): Buffer {
  return Buffer.from(
    label.replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number(code))),
    'latin1',
  );
}

function escaped(character: string): string {
  return `\\${String(character.charCodeAt(0)).padStart(3, '0')}`;
}

/**
 * The names that pointers of a message have led to, by offset: thousands of records may point to one long name, which is
 * then read once. `length` in bytes.
 */
export type KnownNames = Map<number, { name: string; length: number }>;

/**
 * A name in lower case without the root dot, and the offset after it. A dot, a backslash or an unprintable character
 * within a label becomes \DDD (RFC 1035 §5.1). Fails with `dns-malformed`.
 */
export function decodeName(bytes: Buffer, start: number, known: KnownNames = new Map()): { name: string; end: number } {
  const { name, end } = nameAt(bytes, start, known, 0);
  return { name, end };
}

type Decoded = { name: string; length: number; end: number };

function nameAt(bytes: Buffer, start: number, known: KnownNames, pointers: number): Decoded {
  // A chain of pointers without labels would only cost time.
  if (pointers > MAX_POINTERS) throw malformed('a name in it has too many pointers');
  const labels: string[] = [];
  let at = start;
  let length = 1;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) throw malformed('it ends within a name');
    if (size === 0) return { name: labels.join('.'), length, end: at + 1 };
    if (size >= 0xc0) {
      const target = uint16At(bytes, at) & 0x3fff;
      if (target >= start) throw malformed('a name in it points to itself or ahead');
      const rest = known.get(target) ?? nameAt(bytes, target, known, pointers + 1);
      known.set(target, rest);
      const name = [...labels, ...(rest.name === '' ? [] : [rest.name])].join('.');
      return { name, length: checkedLength(length - 1 + rest.length), end: at + 2 };
    }
    if (size > 63) throw malformed('a name in it has a label of an unknown kind');
    length = checkedLength(length + size + 1);
    if (at + 1 + size > bytes.length) throw malformed('it ends within a name');
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + size)));
    at += size + 1;
  }
}

function checkedLength(length: number): number {
  if (length > 255) throw malformed('a name in it is longer than 255 bytes');
  return length;
}

function labelText(label: Buffer): string {
  return label
    .toString('latin1')
    .toLowerCase()
    .replace(/[^\x21-\x7e]|[.\\]/g, escaped);
}

export function uint16At(bytes: Buffer, at: number): number {
  if (at + 2 > bytes.length) throw malformed('it ends too early');
  return bytes.readUInt16BE(at);
}

export function malformed(what: string): SealpostError {
  return new SealpostError('dns-malformed', `the answer is not a DNS message: ${what}`);
}
