import { createHash, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { KeyAlgorithm } from '#services/credential-store/contract.ts';

const generatePair = promisify(generateKeyPair);

/** A new key pair and what DNS and people see of it; see `KeyInfo` for the shapes. Works on the thread pool: RSA takes up to seconds. */
export async function generateKey(
  algorithm: KeyAlgorithm,
): Promise<{ privateKey: KeyObject; publicKey: string; fingerprint: string }> {
  const pair =
    algorithm === 'ed25519'
      ? await generatePair('ed25519')
      : await generatePair('rsa', { modulusLength: Number(algorithm.slice('rsa-'.length)) });
  const published = publishedBytes(pair.publicKey);
  return {
    privateKey: pair.privateKey,
    publicKey: published.toString('base64'),
    fingerprint: publicKeyFingerprint(published),
  };
}

/**
 * What p= carries: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1 says RSAPublicKey, its erratum 3017 and every
 * verifier SubjectPublicKeyInfo), the bare 32 bytes for Ed25519 (RFC 8463 §4.2), which end its SubjectPublicKeyInfo.
 */
function publishedBytes(key: KeyObject): Buffer {
  const spki = key.export({ type: 'spki', format: 'der' });
  return key.asymmetricKeyType === 'ed25519' ? spki.subarray(-32) : spki;
}

/** SHA-256 in pairs of hex digits: `AB:CD:…`. */
export function publicKeyFingerprint(published: Buffer): string {
  const hex = createHash('sha256').update(published).digest('hex').toUpperCase();
  return (hex.match(/../g) ?? []).join(':');
}
