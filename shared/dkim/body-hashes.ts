import { createHash, type Hash } from 'node:crypto';
import { type BodyHash, MOST_BODY_HASHES, MOST_SIGNATURES } from '../mail/authenticity.ts';
import { type CanonicalBody, RelaxedBody, SimpleBody, type TakePiece } from './canonical-body.ts';

/**
 * The body hashes that the signatures of a message ask for, all of them in one pass over its body. Which they are is read
 * from its header. So whoever has the header and these hashes verifies the signatures without the body.
 */

export type BodyHashKind = Pick<BodyHash, 'canonicalization' | 'length'>;

/** The one that our own signatures have. */
export const RELAXED: BodyHashKind = { canonicalization: 'relaxed' };

/**
 * The kinds that a header block asks for: those of its first MOST_SIGNATURES DKIM-Signatures, from the top, and that of the
 * ARC-Message-Signature with the highest instance, which is the only one that must verify (RFC 8617 §5.2). Signatures with
 * another hash than SHA-256 or an unknown canonicalization are refused anyway: they get none.
 */
export function wantedBodyHashes(header: Buffer): BodyHashKind[] {
  const signatures: string[] = [];
  let newest: { instance: number; value: string } | undefined;
  for (const { arc, value } of signatureFields(header)) {
    if (arc) {
      const instance = Number(tag(value, 'i') ?? 0);
      if (newest === undefined || instance > newest.instance) newest = { instance, value };
    } else if (signatures.length < MOST_SIGNATURES) {
      signatures.push(value);
    }
  }
  // ARC's first: it is one, and must not go without for what others ask.
  const kinds: BodyHashKind[] = [];
  for (const value of newest === undefined ? signatures : [newest.value, ...signatures]) {
    const kind = kindOf(value);
    if (kind !== undefined && !kinds.some((other) => isSame(other, kind))) kinds.push(kind);
  }
  return kinds.slice(0, MOST_BODY_HASHES);
}

/** The hash that a signature with these tags asks for; undefined: it was not computed. */
export function bodyHashFor(
  found: readonly BodyHash[],
  canonicalization: BodyHash['canonicalization'],
  length?: number,
): BodyHash | undefined {
  const wanted = { canonicalization, length: boundedLength(length) };
  return found.find((one) => isSame(one, wanted));
}

export class BodyHashes {
  readonly #digests: KindDigest[] = [];
  readonly #bodies: CanonicalBody[] = [];

  /** A kind that is named twice is computed once. */
  constructor(kinds: readonly BodyHashKind[]) {
    for (const kind of kinds) {
      this.#digests.push(this.#digests.find((other) => isSame(other.kind, kind)) ?? new KindDigest(kind));
    }
    const simple = this.#takes('simple');
    if (simple !== undefined) this.#bodies.push(new SimpleBody(simple));
    const relaxed = this.#takes('relaxed');
    if (relaxed !== undefined) this.#bodies.push(new RelaxedBody(relaxed));
  }

  /** What takes the canonical body of that form; undefined: nobody wants it. */
  #takes(canonicalization: BodyHash['canonicalization']): TakePiece | undefined {
    const digests = new Set(this.#digests.filter(({ kind }) => kind.canonicalization === canonicalization));
    const [only] = digests;
    if (only === undefined) return undefined;
    if (digests.size === 1) return (piece) => only.update(piece);
    return (piece) => {
      for (const digest of digests) digest.update(piece);
    };
  }

  /** Add the next bytes of the body, split anywhere. They are not kept. */
  update(bytes: Uint8Array): void {
    for (const body of this.#bodies) body.update(bytes);
  }

  /** One for each kind, in their order. Ends the computation. */
  digest(): BodyHash[] {
    for (const body of this.#bodies) body.end();
    return this.#digests.map((one) => one.digest());
  }
}

/** The hash of one kind, of canonical bytes: all of them, or the first that l= counts (RFC 6376 §3.4.5, §3.7). */
class KindDigest {
  readonly kind: BodyHashKind;
  readonly #hash: Hash = createHash('sha256');
  readonly #most: number;
  #total = 0;
  #digested: BodyHash | undefined;

  constructor(kind: BodyHashKind) {
    this.kind = kind;
    this.#most = kind.length ?? Number.POSITIVE_INFINITY;
  }

  update(piece: Buffer): void {
    const room = this.#most - this.#total;
    this.#total += piece.length;
    if (room > 0) this.#hash.update(piece.length <= room ? piece : piece.subarray(0, room));
  }

  digest(): BodyHash {
    this.#digested ??= {
      ...this.kind,
      hash: this.#hash.digest('base64'),
      hashed: Math.min(this.#total, this.#most),
      total: this.#total,
    };
    return this.#digested;
  }
}

/** The values of the signature fields of a header block, from the top; names in any case (RFC 5322 §1.2.2). */
function* signatureFields(header: Buffer): Generator<{ arc: boolean; value: string }> {
  const text = header.toString('latin1');
  for (const match of text.matchAll(/^(?:dkim|(arc-message))-signature[ \t]*:/gim)) {
    // `^` matches after a bare CR or LF too, where no field begins.
    if (match.index > 0 && !text.startsWith('\r\n', match.index - 2)) continue;
    const start = match.index + match[0].length;
    yield { arc: match[1] !== undefined, value: text.slice(start, endOfField(text, start)) };
  }
}

/** A field ends with the line end that no white space follows (RFC 5322 §2.2.3). */
function endOfField(text: string, start: number): number {
  for (let at = text.indexOf('\r\n', start); at >= 0; at = text.indexOf('\r\n', at + 2)) {
    const next = text[at + 2];
    if (next !== ' ' && next !== '\t') return at;
  }
  return text.length;
}

function kindOf(value: string): BodyHashKind | undefined {
  if (!/-sha256$/i.test(tag(value, 'a') ?? '')) return undefined;
  // RFC 6376 §3.5: "simple" where c= or its second half is absent.
  const canonicalization = (tag(value, 'c')?.split('/')[1] || 'simple').trim().toLowerCase();
  if (canonicalization !== 'simple' && canonicalization !== 'relaxed') return undefined;
  const length = tag(value, 'l');
  if (length === undefined) return { canonicalization };
  return /^\d{1,76}$/.test(length) ? { canonicalization, length: boundedLength(Number(length)) } : undefined;
}

/** The value of the first tag of that name in a tag list (RFC 6376 §3.2); a list with two of them is refused elsewhere. */
function tag(list: string, name: string): string | undefined {
  for (const part of list.split(';')) {
    const equals = part.indexOf('=');
    if (equals >= 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return undefined;
}

/** l= may have 76 digits; no body is as long as the largest number. */
function boundedLength(length: number | undefined): number | undefined {
  return length === undefined ? undefined : Math.min(length, Number.MAX_SAFE_INTEGER);
}

function isSame(one: BodyHashKind, other: BodyHashKind): boolean {
  return one.canonicalization === other.canonicalization && one.length === other.length;
}
