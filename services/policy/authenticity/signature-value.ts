import { createHash, type KeyObject, verify } from 'node:crypto';
import type { Signature, SignatureResult } from 'mailauth/lib/dkim/dkim-verifier.js';
import { generateCanonicalizedHeader } from 'mailauth/lib/dkim/header/index.js';
import { type HeaderRow, KEY_ERROR_COMMENTS, type KeyCache, normalizeDomainName } from 'mailauth/lib/tools.js';
import { errorCode, errorText } from '#shared/errors.ts';
import type { BodyHash } from '#shared/mail/authenticity.ts';
import { LEAST_BITS } from './dkim-keys.ts';

/**
 * The last steps of a verification (RFC 6376 §6.1.2, §6.1.3), with the words of mailauth for what is wrong. mailauth would take
 * them on the event loop, which computes nothing else meanwhile; here the threads of Node take the longest of them.
 */

type Status = SignatureResult['status'];

export type SignatureParts = {
  /** The fields that it covers, in its order. */
  rows: readonly HeaderRow[];
  body: BodyHash | undefined;
  keys: KeyCache;
  now: Date;
};

export async function verifyValue(signature: Signature, parts: SignatureParts): Promise<SignatureResult> {
  const { body } = parts;
  const status = await statusOf(signature, parts);
  const underSized = body === undefined || signature.maxBodyLength === '' ? 0 : body.total - body.hashed;
  return { status: underSized > 0 ? { ...status, underSized } : status };
}

async function statusOf(signature: Signature, { rows, body, keys, now }: SignatureParts): Promise<Status> {
  const { invalid, parsed } = signature;
  if (invalid !== undefined) return { result: 'neutral', comment: invalid };
  if (body === undefined || parsed.bh?.value !== body.hash)
    return { result: 'fail', comment: 'body hash did not verify' };
  try {
    const { selector, signingDomain, type, hashAlgo } = signature;
    const options = { strict: true, hashAlgo };
    const key = await keys.get(type, `${selector}._domainkey.${signingDomain}`, LEAST_BITS, options);
    const testing = key.testing ? { testing: true } : {};
    return { ...(await withKey(signature, rows, key, now)), ...testing };
  } catch (error) {
    return unknownKey(error);
  }
}

type Key = Awaited<ReturnType<KeyCache['get']>>;

async function withKey(signature: Signature, rows: readonly HeaderRow[], key: Key, now: Date): Promise<Status> {
  const { signAlgo, identityDomain, signingDomain, timestamp, expiration } = signature;
  if (key.keyType !== signAlgo) return { result: 'neutral', comment: 'inappropriate key algorithm' };
  // t=s in the key record: i= is not of a subdomain.
  const isOfOther = identityDomain && normalizeDomainName(identityDomain) !== normalizeDomainName(signingDomain);
  if (isOfOther && key.flags?.includes('s')) return { result: 'neutral', comment: 'domain mismatch' };
  try {
    const isGenuine = await fits(signature, canonicalHeader(signature, rows), key.publicKey as KeyObject);
    if (!isGenuine) return { result: 'fail', comment: 'bad signature' };
  } catch (error) {
    return { result: 'neutral', comment: errorText(error) };
  }
  if (expiration && expiration < now) return { result: 'neutral', comment: 'expired' };
  if (expiration && timestamp && expiration < timestamp) return { result: 'neutral', comment: 'invalid expiration' };
  return { result: 'pass' };
}

function canonicalHeader({ type, original, canonicalization }: Signature, rows: readonly HeaderRow[]): Buffer {
  const options = { signatureHeaderLine: original, canonicalization, strict: true };
  return generateCanonicalizedHeader(type, { headers: rows }, options).canonicalizedHeader;
}

/** Ed25519 signs the hash of the header (RFC 8463 §3). */
function fits({ signAlgo, algorithm, parsed }: Signature, header: Buffer, key: KeyObject): Promise<boolean> {
  const isRsa = signAlgo === 'rsa';
  const data = isRsa ? header : createHash('sha256').update(header).digest();
  const value = Buffer.from(String(parsed.b?.value ?? ''), 'base64');
  return new Promise((resolve, reject) => {
    verify(isRsa ? algorithm : null, data, key, value, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

function unknownKey(error: unknown): Status {
  const code = errorCode(error) ?? '';
  const comment = KEY_ERROR_COMMENTS.get(code);
  if (comment !== undefined) return { result: 'neutral', comment };
  if (code === 'ESHORTKEY') return { result: 'policy' };
  return { result: 'temperror', comment: `DNS failure: ${code || errorText(error)}` };
}
