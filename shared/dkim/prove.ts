import { type KeyObject, sign, verify } from 'node:crypto';
import { errorText, SealpostError } from '../errors.ts';
import { KEY_TYPES, type KeyAlgorithm, keyTypeOfKey } from './algorithms.ts';
import { publishedKey } from './public-key.ts';
import { dkimRecordName } from './record.ts';

/**
 * How a node shows that it holds a private key and can use it: a signature over a text that contains the asker's
 * challenge.
 *
 * Such a proof can never be a signature of mail. What DKIM signs begins with a header field, a name and a colon (RFC 6376
 * §3.7), or is a SHA-256 hash of 32 bytes (Ed25519, RFC 8463 §3). This text has more than 32 bytes and no colon: names
 * of domains and selectors have none, and a challenge with a colon is refused. So it is not the canonical form of any
 * header.
 */

/** A challenge: 16 to 256 characters of base64, either alphabet. */
export const CHALLENGE = /^[A-Za-z0-9+/=_-]{16,256}$/;

/** The key that is proven. `domain` in lower-case A-labels. */
type ProvenKey = { domain: string; selector: string; algorithm: KeyAlgorithm; publicKey: string; fingerprint: string };

function proofText(key: { domain: string; selector: string }, challenge: string): Buffer {
  return Buffer.from(`sealpost-prove 1\n${key.domain}\n${key.selector}\n${challenge}`, 'latin1');
}

const digestFor = (key: KeyObject): string | null => KEY_TYPES[keyTypeOfKey(key)].digest;

/** The signature over a challenge, base64; made on the thread pool. Rejects when the key cannot sign. */
export function signProof(
  key: { domain: string; selector: string; privateKey: KeyObject },
  challenge: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    sign(digestFor(key.privateKey), proofText(key, challenge), key.privateKey, (error, signature) => {
      if (error) reject(error);
      else resolve(signature.toString('base64'));
    });
  });
}

/**
 * Whether a signer's answer to `challenge` shows that its node can sign with the key. Fails with `proof-failed`; the
 * text says which node and why.
 */
export function verifyProof(
  key: ProvenKey,
  challenge: string,
  answer: { node: string; fingerprint: string; signature: string },
): void {
  const failed = (reason: string): SealpostError =>
    new SealpostError('proof-failed', `node ${answer.node} did not prove the key of ${dkimRecordName(key)}: ${reason}`);
  if (answer.fingerprint !== key.fingerprint) {
    throw failed(`it holds another key, ${answer.fingerprint} instead of ${key.fingerprint}`);
  }
  let valid: boolean;
  try {
    const publicKey = publishedKey(key.algorithm, key.publicKey);
    const signature = Buffer.from(answer.signature, 'base64');
    valid = verify(digestFor(publicKey), proofText(key, challenge), publicKey, signature);
  } catch (error) {
    throw failed(`its public key cannot be read: ${errorText(error)}`);
  }
  if (!valid) throw failed('its signature is not one of this key');
}
