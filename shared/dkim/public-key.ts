import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { isKeyType, type KeyAlgorithm, type KeyType, keyTypeOf } from './algorithms.ts';

/** Public DKIM keys as DNS has them: the decoded value of p= in the key record. */

/**
 * What p= omits of the SubjectPublicKeyInfo: nothing for RSA (RFC 6376 §3.6.1 says RSAPublicKey, its erratum 3017 and
 * every verifier SubjectPublicKeyInfo), everything before the bare 32 bytes for Ed25519 (RFC 8463 §4.2, RFC 8410 §10.1).
 */
const OMITTED: Readonly<Record<KeyType, Buffer>> = {
  rsa: Buffer.alloc(0),
  ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
};

/** The bytes of p=, for a key of another type its whole SubjectPublicKeyInfo. `key` may be the private key. */
export function publishedBytes(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const type = publicKey.asymmetricKeyType ?? '';
  return isKeyType(type) ? spki.subarray(OMITTED[type].length) : spki;
}

/** SHA-256 of the bytes of p= in pairs of hex digits: `AB:CD:…`. */
export function publicKeyFingerprint(published: Buffer): string {
  const hex = createHash('sha256').update(published).digest('hex').toUpperCase();
  return (hex.match(/../g) ?? []).join(':');
}

/** The key of a p= value in base64. Throws when the value does not hold a key of this algorithm's type. */
export function publishedKey(algorithm: KeyAlgorithm, base64: string): KeyObject {
  const key = Buffer.concat([OMITTED[keyTypeOf(algorithm)], Buffer.from(base64, 'base64')]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}
