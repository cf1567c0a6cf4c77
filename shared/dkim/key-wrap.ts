import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { SealpostError } from '../errors.ts';
import { describeNek, describeNeks, findNek, type Nek } from './nek.ts';

/**
 * Private keys under a named encryption key: PKCS#8 DER, AES-256-GCM (NIST SP 800-38D). Version, domain, selector and
 * algorithm are additional authenticated data, so that a wrapped key opens only under the name for which it was wrapped.
 */

/** What a wrapped key is bound to. `domain` in lower-case A-labels. */
export type KeyIdentity = { domain: string; selector: string; algorithm: string };

export const WrappedKey = z.object({
  version: z.literal(1),
  /** Name and fingerprint of the NEK that opens it. */
  nek: z.string(),
  nekFingerprint: z.string(),
  /** Base64: the 96-bit IV, the 128-bit tag, the ciphertext. */
  iv: z.string(),
  tag: z.string(),
  data: z.string(),
});
export type WrappedKey = z.infer<typeof WrappedKey>;

const IV_BYTES = 12;
const TAG_BYTES = 16;

const additionalData = (id: KeyIdentity): Buffer =>
  Buffer.from(JSON.stringify([1, id.domain, id.selector, id.algorithm]));

/** Wrap a private key. The IV is random: SP 800-38D §8.3 allows 2^32 of them for one NEK. */
export function wrapKey(nek: Nek, id: KeyIdentity, privateKey: KeyObject): WrappedKey {
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', nek.key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData(id));
  const data = Buffer.concat([cipher.update(der), cipher.final()]);
  der.fill(0);
  return {
    version: 1,
    nek: nek.name,
    nekFingerprint: nek.fingerprint,
    iv: iv.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    data: data.toString('base64'),
  };
}

/**
 * Unwrap a key with the one of `neks` that wrapped it. Fails with `nek-mismatch` (it was none of them) or `key-damaged`.
 */
export function unwrapWith(neks: readonly Nek[], id: KeyIdentity, wrapped: WrappedKey): KeyObject {
  const nek = findNek(neks, wrapped.nekFingerprint);
  if (nek !== undefined) return unwrapKey(nek, id, wrapped);
  const needed = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  throw new SealpostError(
    'nek-mismatch',
    `key ${id.selector} of ${id.domain} is wrapped with NEK ${needed}, but configured (credentials.nek) is ${describeNeks(neks)}: add ${needed}`,
  );
}

/**
 * Unwrap a key. Fails with `nek-mismatch` (another NEK wrapped it) or `key-damaged` (it differs from what was wrapped).
 */
export function unwrapKey(nek: Nek, id: KeyIdentity, wrapped: WrappedKey): KeyObject {
  assertWrappedBy(nek, id, wrapped);
  try {
    const iv = Buffer.from(wrapped.iv, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', nek.key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(additionalData(id));
    decipher.setAuthTag(Buffer.from(wrapped.tag, 'base64'));
    const der = Buffer.concat([decipher.update(wrapped.data, 'base64'), decipher.final()]);
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    der.fill(0);
    return key;
  } catch (error) {
    throw new SealpostError(
      'key-damaged',
      `the key ${id.selector} of ${id.domain} does not open with its NEK ${describeNek(nek)}: it has changed since it was wrapped`,
      { cause: error },
    );
  }
}

/** Fails with `nek-mismatch` when another NEK wrapped the key. */
function assertWrappedBy(nek: Nek, id: { domain: string; selector: string }, wrapped: WrappedKey): void {
  if (wrapped.nekFingerprint === nek.fingerprint) return;
  const needed = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  throw new SealpostError(
    'nek-mismatch',
    `key ${id.selector} of ${id.domain} was wrapped with NEK ${needed}, but the configured NEK is ${describeNek(nek)}: put ${needed} back`,
  );
}
