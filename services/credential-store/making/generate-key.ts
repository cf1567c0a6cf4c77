import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { KEY_ALGORITHMS, type KeyAlgorithm } from '#shared/dkim/algorithms.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';

const generatePair = promisify(generateKeyPair);

/** A new key pair with its forms for DNS and people; see `KeyInfo`. Works on the thread pool: RSA takes up to seconds. */
export async function generateKey(
  algorithm: KeyAlgorithm,
): Promise<{ privateKey: KeyObject; publicKey: string; fingerprint: string }> {
  const pair = await pairOf(algorithm);
  const published = publishedBytes(pair.publicKey);
  return {
    privateKey: pair.privateKey,
    publicKey: published.toString('base64'),
    fingerprint: publicKeyFingerprint(published),
  };
}

function pairOf(algorithm: KeyAlgorithm): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const spec = KEY_ALGORITHMS[algorithm];
  switch (spec.type) {
    case 'rsa':
      return generatePair('rsa', { modulusLength: spec.bits });
    case 'ed25519':
      return generatePair('ed25519');
  }
}
