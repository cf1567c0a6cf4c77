import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

/** Public DKIM keys in the form in which DNS has them: what the p= tag of the record carries, decoded. */

/** What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 §10.1). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * The bytes of p=: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1 says RSAPublicKey, its erratum 3017 and every
 * verifier SubjectPublicKeyInfo), the bare 32 bytes for Ed25519 (RFC 8463 §4.2). `key` may be the private key.
 */
export function publishedBytes(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return publicKey.asymmetricKeyType === 'ed25519' ? spki.subarray(ED25519_SPKI.length) : spki;
}

/** SHA-256 of the bytes of p= in pairs of hex digits: `AB:CD:…`. */
export function publicKeyFingerprint(published: Buffer): string {
  const hex = createHash('sha256').update(published).digest('hex').toUpperCase();
  return (hex.match(/../g) ?? []).join(':');
}

/** The key of a p= value in base64. `algorithm` is `ed25519` or begins with `rsa`. Throws when it holds no such key. */
export function publishedKey(algorithm: string, base64: string): KeyObject {
  const bytes = Buffer.from(base64, 'base64');
  const spki = algorithm === 'ed25519' ? Buffer.concat([ED25519_SPKI, bytes]) : bytes;
  return createPublicKey({ key: spki, format: 'der', type: 'spki' });
}
