import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { isKeyType, type KeyAlgorithm, type KeyType, keyTypeOf } from '#shared/dkim/algorithms.ts';
import { type DkimKeyRecord, parseDkimRecord } from '#shared/dkim/record.ts';

/**
 * Whether the TXT records at a name are those that should be there. Keys are compared, not texts: providers reorder
 * tags, omit v= or k=, and split strings at any place.
 */

export type ExpectedRecord = { kind: 'key' | 'revoked' | 'absent' } & OurKey;
/** The key that it is about; `publicKey` is the p= value. */
export type OurKey = { algorithm: KeyAlgorithm; publicKey: string };
/** A key as a record has it. */
type PublishedKey = { keyType: KeyType; publicKey: string };

export type Verdict = 'ok' | 'missing' | 'different' | 'duplicate' | 'malformed' | 'unreachable' | 'error';
export type Judgement = { verdict: Verdict; detail: string };

/** What should be at a name. Its records come as texts (proof.ts). */
export type Expectation = {
  type: 'TXT' | 'TLSA';
  /** There should be nothing, so that an alias is too much. */
  isAbsent: boolean;
  /** The detail is a clause without a full stop. */
  judge(texts: readonly string[]): Judgement;
  /** Whether something of ours is among them, though not all is as expected. */
  isOurs(texts: readonly string[]): boolean;
};

/** A key in DNS, or no key. */
export function expectKey(expected: ExpectedRecord): Expectation {
  return {
    type: 'TXT',
    isAbsent: expected.kind === 'absent',
    judge: (texts) => judge(texts, expected),
    isOurs: (texts) => publishes(texts, expected),
  };
}

/** Length of an Ed25519 public key (RFC 8032 §5.1.5). */
const ED25519_BYTES = 32;

/** `texts`: the joined strings of each TXT record. The detail is a clause without a full stop. */
export function judge(texts: readonly string[], expected: ExpectedRecord): Judgement {
  const parsed = texts.map(parseDkimRecord);
  const keys = parsed.flatMap((p) => ('record' in p ? [p.record] : []));
  if (expected.kind === 'absent') return judgeAbsent(texts.length, keys);
  const [only] = parsed;
  if (only === undefined) return { verdict: 'missing', detail: 'has no TXT record there' };
  if (parsed.length > 1) {
    // RFC 6376 §3.6.2.2: "TXT RRs MUST be unique for a particular selector name"; a verifier may take any of them.
    return {
      verdict: 'duplicate',
      detail: `has ${parsed.length} TXT records there, and there must be one: remove the others`,
    };
  }
  if ('problem' in only) {
    return { verdict: 'malformed', detail: `has a TXT record there that is not a key record: ${only.problem}` };
  }
  if (expected.kind === 'revoked') {
    if (only.record.publicKey === '') return { verdict: 'ok', detail: 'has the revoked record (empty p=)' };
    return { verdict: 'different', detail: 'still has a key there: its p= must be empty' };
  }
  return judgeKey(only.record, publishedKey(expected));
}

/** Whether one of the texts publishes exactly this key, in a way that verifiers accept or not. */
export function publishes(texts: readonly string[], key: OurKey): boolean {
  const ours = publishedKey(key);
  return texts.map(keyIn).some((k) => k?.keyType === ours.keyType && compareKeys(k.publicKey, ours) === undefined);
}

const publishedKey = ({ algorithm, publicKey }: OurKey): PublishedKey => ({ keyType: keyTypeOf(algorithm), publicKey });

/** Whether two values of TXT records are equal or publish the same key. */
export function isSameRecord(a: string, b: string): boolean {
  if (a === b) return true;
  const key = keyIn(b);
  const other = keyIn(a);
  if (key === undefined || other?.keyType !== key.keyType) return false;
  return compareKeys(other.publicKey, key) === undefined;
}

/** Whether a TXT record publishes the key of `value` in a way that verifiers accept. */
export function isRightKey(text: string, value: string): boolean {
  const key = keyIn(value);
  const parsed = parseDkimRecord(text);
  return key !== undefined && 'record' in parsed && judgeKey(parsed.record, key).verdict === 'ok';
}

/** The key that a TXT record publishes; undefined for a revoked one, and for a text that is not a key record. */
function keyIn(text: string): PublishedKey | undefined {
  const parsed = parseDkimRecord(text);
  if (!('record' in parsed) || parsed.record.publicKey === '') return undefined;
  const { keyType, publicKey } = parsed.record;
  return isKeyType(keyType) ? { keyType, publicKey } : undefined;
}

/** Other texts than key records do no harm. */
function judgeAbsent(records: number, keys: DkimKeyRecord[]): Judgement {
  if (keys.length > 0) {
    const what = keys.every((key) => key.publicKey === '') ? 'the revoked record' : 'a key record';
    return { verdict: 'different', detail: `still has ${what} there: it must be removed` };
  }
  return { verdict: 'ok', detail: records === 0 ? 'has no record there' : 'has no key record there' };
}

function judgeKey(record: DkimKeyRecord, expected: PublishedKey): Judgement {
  const different = (detail: string): Judgement => ({ verdict: 'different', detail });
  if (record.publicKey === '') return different('has a revoked record there: its p= is empty');
  const { keyType } = expected;
  if (record.keyType !== keyType) {
    return different(`says k=${record.keyType}, and the key is ${keyType}: write k=${keyType}`);
  }
  const unlike = compareKeys(record.publicKey, expected);
  if (unlike !== undefined) return unlike;
  if (record.hashes !== undefined && !record.hashes.includes('sha256')) {
    return different(`has the key, but h=${record.hashes.join(':')} forbids sha256, with which we sign: remove h=`);
  }
  if (!record.services.includes('*') && !record.services.includes('email')) {
    return different(`has the key, but s=${record.services.join(':')} says that it is not for mail: remove s=`);
  }
  if (record.flags.includes('y')) {
    return different('has the key, but t=y says that it is a test, so that verifiers ignore it: remove t=y');
  }
  return { verdict: 'ok', detail: 'has exactly this key' };
}

/** How a published key differs from the expected one; undefined when it is the same. */
function compareKeys(publicKey: string, expected: PublishedKey): Judgement | undefined {
  const theirs = Buffer.from(publicKey, 'base64');
  const ours = Buffer.from(expected.publicKey, 'base64');
  if (theirs.equals(ours)) return undefined;
  if (theirs.length < ours.length && ours.subarray(0, theirs.length).equals(theirs)) {
    const cut = `p= is cut off after ${publicKey.length} of ${expected.publicKey.length} characters`;
    return { verdict: 'different', detail: `${cut}: enter the whole value, split into strings of at most 255` };
  }
  return COMPARE_DIFFERENT_BYTES[expected.keyType](theirs, ours);
}

const COMPARE_DIFFERENT_BYTES: Record<KeyType, (theirs: Buffer, ours: Buffer) => Judgement | undefined> = {
  rsa: compareRsa,
  ed25519: compareEd25519,
};

function compareEd25519(theirs: Buffer): Judgement {
  if (theirs.length === ED25519_BYTES) return { verdict: 'different', detail: 'has another key' };
  const detail = `p= has ${theirs.length} bytes, and an Ed25519 key has ${ED25519_BYTES} (RFC 8463 §4): enter the value as it is shown`;
  return { verdict: 'malformed', detail };
}

function compareRsa(theirs: Buffer, ours: Buffer): Judgement | undefined {
  const theirNumbers = rsaNumbers(theirs);
  if (theirNumbers === undefined) return { verdict: 'malformed', detail: 'p= is not an RSA public key' };
  const ourNumbers = rsaNumbers(ours);
  const same = theirNumbers.n === ourNumbers?.n && theirNumbers.e === ourNumbers?.e;
  return same ? undefined : { verdict: 'different', detail: 'has another key' };
}

/** Modulus and exponent. RFC 6376 §3.6.1 says RSAPublicKey, its erratum 3017 SubjectPublicKeyInfo; both are in use. */
function rsaNumbers(key: Buffer): JsonWebKey | undefined {
  for (const type of ['spki', 'pkcs1'] as const) {
    try {
      const jwk = createPublicKey({ key, format: 'der', type }).export({ format: 'jwk' });
      if (jwk.kty === 'RSA') return jwk;
    } catch {
      // It may be the other form.
    }
  }
  return undefined;
}
