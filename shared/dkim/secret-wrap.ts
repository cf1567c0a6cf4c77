import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { SealpostError } from '../errors.ts';
import { describeNek, describeNeks, findNek, type Nek } from './nek.ts';

/**
 * Secrets under a named encryption key: AES-256-GCM (NIST SP 800-38D). What a secret is for is additional authenticated
 * data, so that it opens only in the place for which it was wrapped.
 */
export const WrappedSecret = z.object({
  version: z.literal(1),
  /** Name and fingerprint of the NEK that opens it. */
  nek: z.string(),
  nekFingerprint: z.string(),
  /** Base64: the 96-bit IV, the 128-bit tag, the ciphertext. */
  iv: z.string(),
  tag: z.string(),
  data: z.string(),
});
export type WrappedSecret = z.infer<typeof WrappedSecret>;

/** The place of a secret: what names it, and how people call it, `the key s1 of example.com`. */
export type SecretPlace = { bound: Buffer; text: string };

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Wrap a secret. The IV is random: SP 800-38D §8.3 allows 2^32 of them for one NEK. */
export function wrapSecret(nek: Nek, { bound }: SecretPlace, secret: Uint8Array): WrappedSecret {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', nek.key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  const data = Buffer.concat([cipher.update(secret), cipher.final()]);
  return {
    version: 1,
    nek: nek.name,
    nekFingerprint: nek.fingerprint,
    iv: iv.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    data: data.toString('base64'),
  };
}

/** Unwrap a secret with the one of `neks` that wrapped it. Fails with `nek-mismatch` (none of them did) or `key-damaged`. */
export function unwrapSecret(neks: readonly Nek[], place: SecretPlace, wrapped: WrappedSecret): Buffer {
  const nek = findNek(neks, wrapped.nekFingerprint);
  if (nek !== undefined) return openSecret(nek, place, wrapped);
  const needed = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  throw new SealpostError(
    'nek-mismatch',
    `${place.text} is wrapped with NEK ${needed}, but configured (credentials.nek) is ${describeNeks(neks)}: add ${needed}`,
  );
}

/** Unwrap what this NEK wrapped. Fails with `key-damaged` when it differs from what was wrapped. */
export function openSecret(nek: Nek, { bound, text }: SecretPlace, wrapped: WrappedSecret): Buffer {
  try {
    const iv = Buffer.from(wrapped.iv, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', nek.key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(bound);
    decipher.setAuthTag(Buffer.from(wrapped.tag, 'base64'));
    return Buffer.concat([decipher.update(wrapped.data, 'base64'), decipher.final()]);
  } catch (error) {
    throw new SealpostError(
      'key-damaged',
      `${text} does not open with its NEK ${describeNek(nek)}: it has changed since it was wrapped`,
      { cause: error },
    );
  }
}
