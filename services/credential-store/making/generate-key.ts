import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import type { KeyAlgorithm } from '../contract.ts';

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
