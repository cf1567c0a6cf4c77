import { DkimVerifier, type Signature, type SignatureResult } from 'mailauth/lib/dkim/dkim-verifier.js';
import type { HeaderRow, KeyCache } from 'mailauth/lib/tools.js';
import { bodyHashFor } from '#shared/dkim/body-hashes.ts';
import type { BodyHash } from '#shared/mail/authenticity.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { LEAST_BITS } from './dkim-keys.ts';
import { verifyValue } from './signature-value.ts';

/**
 * What mailauth reads of the signatures of a message whose body is elsewhere: in place of the bytes of the body there are the
 * hashes that were computed while they passed. The last steps are in signature-value.ts.
 *
 * A stranger writes all that it reads, so its work is bounded here: it sees the fields of signatures alone, those that are
 * neither long nor mostly white space (which its regular expressions take the square of the time for), finds the signed fields
 * by name instead of searching for each, and canonicalizes `MOST_SIGNED` bytes for all signatures together.
 */

/** A signature with a copy of the whole header in z= is longer, and nobody writes one. */
const LONGEST_FIELD = 16_384;
const LONG_WHITE_SPACE = /[ \t\r\n]{100}/;
const MOST_NAMES = 500;
const MOST_SIGNED = 1024 * 1024;
/** How far the clock of a signer may be ahead, or in another time zone. */
const CLOCK_DRIFT_MS = 86_400_000;

export type Unverified = { result: 'policy' | 'neutral' | 'temperror'; reason: string };

type VerifierDeps = {
  header: readonly HeaderField[];
  /** undefined: the listener computed none. */
  bodyHashes: readonly BodyHash[] | undefined;
  keys: KeyCache;
  now: Date;
};

/** Why a field of a signature is not read. */
export function unreadable(field: HeaderField): string | undefined {
  if (field.raw.length > LONGEST_FIELD) return `the field is longer than ${LONGEST_FIELD} bytes`;
  return LONG_WHITE_SPACE.test(field.raw) ? 'the field has too much white space' : undefined;
}

export class SignatureVerifier extends DkimVerifier {
  readonly #bodyHashes: readonly BodyHash[] | undefined;
  /** Fields of the header by name, in their order. */
  readonly #byName: ReadonlyMap<string, readonly HeaderField[]>;
  readonly #now: Date;
  /** The fields that a signature covers. */
  readonly #signed = new Map<Signature, readonly HeaderField[]>();
  #signedBytes = 0;
  /** Why a signature is not verified, which mailauth would say differently. */
  readonly refused = new Map<Signature, Unverified>();

  constructor({ header, bodyHashes, keys, now }: VerifierDeps) {
    super({ resolver: keys.resolver, strict: true, minBitLength: LEAST_BITS, curTime: now });
    this.#bodyHashes = bodyHashes;
    this.#byName = Map.groupBy(header, (field) => field.name);
    this.#now = now;
    this.keyCache = keys;
    this.arc.keyCache = keys;
  }

  /** Of these signatures: DKIM-Signature fields, and those of an ARC chain. */
  async read(fields: readonly HeaderField[]): Promise<void> {
    await this.messageHeaders({ parsed: fields.map(rowOf) });
  }

  override prepareSignature(signature: Signature): void {
    const selector = signature.parsed.s?.value;
    // RFC 6376 §3.5 knows no underscore in a selector, real mail does.
    if (signature.parsed.s !== undefined) signature.parsed.s.value = String(selector).replaceAll('_', 'x');
    super.prepareSignature(signature);
    if (signature.parsed.s !== undefined && selector !== undefined) {
      signature.parsed.s.value = selector;
      signature.selector = String(selector);
    }
    if (signature.skip !== undefined || signature.invalid !== undefined) return;
    const refused = this.#refuse(signature);
    if (refused === undefined) return;
    this.refused.set(signature, refused);
    signature.invalid = refused.reason;
  }

  #refuse(signature: Signature): Unverified | undefined {
    if (signature.hashAlgo === 'sha1') return { result: 'policy', reason: 'rsa-sha1 proves nothing (RFC 8301)' };
    if (signature.timestamp !== null && signature.timestamp.getTime() > this.#now.getTime() + CLOCK_DRIFT_MS) {
      return { result: 'neutral', reason: 'signed in the future' };
    }
    const names = namesOf(signature);
    if (names.length > MOST_NAMES) return { result: 'policy', reason: `it signs more than ${MOST_NAMES} fields` };
    const signed = this.#select(names);
    this.#signed.set(signature, signed);
    this.#signedBytes += signed.reduce((bytes, { raw }) => bytes + raw.length, signature.original.length);
    if (this.#signedBytes > MOST_SIGNED) return { result: 'policy', reason: 'the signatures sign too much' };
    const canonicalization = String(signature.parsed.c?.value ?? '').split('/')[1] ?? 'simple';
    const body = this.#bodyHashOf(canonicalization, signature.maxBodyLength);
    if (body === undefined) {
      if (this.#bodyHashes === undefined) return { result: 'temperror', reason: 'the body was not hashed' };
      return { result: 'policy', reason: 'signatures of the message want too many kinds of body hashes' };
    }
    const { length = 0, total } = body;
    return length > total ? { result: 'neutral', reason: 'l= is more than the body has' } : undefined;
  }

  /** mailauth hashes nothing itself. */
  override addBodyHash(): string {
    return '';
  }

  #bodyHashOf(canonicalization: string, length: number | ''): BodyHash | undefined {
    const wanted = canonicalization.trim().toLowerCase();
    if (wanted !== 'simple' && wanted !== 'relaxed') return undefined;
    return bodyHashFor(this.#bodyHashes ?? [], wanted, length === '' ? undefined : length);
  }

  override verifySignature(signature: Signature): Promise<SignatureResult> {
    const rows = (this.#signed.get(signature) ?? []).map(rowOf);
    const body = this.#bodyHashOf(signature.bodyCanon, signature.maxBodyLength);
    return verifyValue(signature, { rows, body, keys: this.keyCache, now: this.#now });
  }

  /** The fields that a signature of these names covers: of several of a name the last, then the one before (§5.4.2). */
  #select(names: readonly string[]): HeaderField[] {
    const taken = new Map<string, number>();
    return names.flatMap((name) => {
      const fields = this.#byName.get(name) ?? [];
      const index = taken.get(name) ?? fields.length - 1;
      taken.set(name, index - 1);
      return fields[index] ?? [];
    });
  }
}

/** The names of h=, in lower case as far as they are ASCII: others are of no field. */
function namesOf({ parsed }: Signature): string[] {
  return String(parsed.h?.value ?? '')
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    .split(':')
    .map((name) => name.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((name) => name !== '');
}

function rowOf({ name, raw }: HeaderField): HeaderRow {
  const line = Buffer.from(raw.endsWith('\r\n') ? raw.slice(0, -2) : raw, 'latin1');
  return { key: name, casedKey: name, line };
}
