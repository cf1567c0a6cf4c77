import { z } from 'zod';
import { type KeyAlgorithm as AlgorithmName, KEY_ALGORITHMS } from '../dkim/algorithms.ts';
import { WrappedKey } from '../dkim/key-wrap.ts';

/** DKIM keys, as the credential-store gives them to signers and shows them to administrators. */

export const KeyAlgorithm = z.enum(Object.keys(KEY_ALGORITHMS) as AlgorithmName[]);
export type KeyAlgorithm = z.infer<typeof KeyAlgorithm>;

/** The life of a key (services/credential-store/life/life-cycle.ts). Only `active` keys sign mail. */
export const KeyState = z.enum([
  'created',
  'replicated',
  'published',
  'proven',
  'active',
  'retiring',
  'retired',
  'revoked',
  'deleted',
]);
export type KeyState = z.infer<typeof KeyState>;

/** A key without its private part. */
export const KeyInfo = z.object({
  /** Lower-case A-labels. */
  domain: z.string(),
  selector: z.string(),
  algorithm: KeyAlgorithm,
  state: KeyState,
  /** ms since 1970 */
  created: z.number(),
  /** SHA-256 over the public key as DNS publishes it (the decoded p= value), hex in pairs with colons. */
  fingerprint: z.string(),
  /** The p= value: base64 of SubjectPublicKeyInfo (RSA) or of the raw 32 bytes (Ed25519, RFC 8463). */
  publicKey: z.string(),
});
export type KeyInfo = z.infer<typeof KeyInfo>;

/** What a signer holds: every key from `created` to `retiring`, so that it can prove the key and switch immediately. */
export const SigningKey = KeyInfo.extend({ wrapped: WrappedKey });
export type SigningKey = z.infer<typeof SigningKey>;
