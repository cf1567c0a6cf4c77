import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { isKeyType, type KeyType } from '#shared/dkim/algorithms.ts';
import { type DkimKeyRecord, parseDkimRecord } from '#shared/dkim/record.ts';

/**
 * Whether the TXT records at a name are those that should be there. Keys are compared, not texts: providers reorder
 * tags, omit v= or k=, and split strings at any place.
 */

export type ExpectedRecord =
  | {
      kind: 'key';
      keyType: KeyType;
      /** The p= value. */
      publicKey: string;
    }
  | { kind: 'revoked' }
  | { kind: 'absent' };

export type Verdict = 'ok' | 'missing' | 'different' | 'duplicate' | 'malformed' | 'unreachable' | 'error';
export type Judgement = { verdict: Verdict; detail: string };

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
  return judgeKey(only.record, expected);
}

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
  return key !== undefined && judge([text], key).verdict === 'ok';
}

/** The key that a TXT record publishes; undefined for a revoked one, and for a text that is not a key record. */
function keyIn(text: string): (ExpectedRecord & { kind: 'key' }) | undefined {
  const parsed = parseDkimRecord(text);
  if (!('record' in parsed) || parsed.record.publicKey === '') return undefined;
  const { keyType, publicKey } = parsed.record;
  return isKeyType(keyType) ? { kind: 'key', keyType, publicKey } : undefined;
}

/** Other texts than key records do no harm: a wildcard (`*.example.com TXT …`) answers for every name. */
function judgeAbsent(records: number, keys: DkimKeyRecord[]): Judgement {
  if (keys.length > 0) {
    const what = keys.every((key) => key.publicKey === '') ? 'the revoked record' : 'a key record';
    return { verdict: 'different', detail: `still has ${what} there: it must be removed` };
  }
  return { verdict: 'ok', detail: records === 0 ? 'has no record there' : 'has no key record there' };
}

function judgeKey(record: DkimKeyRecord, expected: ExpectedRecord & { kind: 'key' }): Judgement {
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
function compareKeys(publicKey: string, expected: ExpectedRecord & { kind: 'key' }): Judgement | undefined {
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
