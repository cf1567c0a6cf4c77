import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { WrappedKey } from '#shared/key-wrap.ts';

/**
 * The credential-store owns the DKIM keys. Private keys leave it only wrapped by a named encryption key (NEK), which
 * signer and credential-store processes alone can read.
 */

export const KeyAlgorithm = z.enum(['rsa-2048', 'rsa-3072', 'rsa-4096', 'rsa-1024', 'ed25519']);
export type KeyAlgorithm = z.infer<typeof KeyAlgorithm>;

/** The life of a key; DESIGN section 3. Only `active` keys sign. */
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

export { WrappedKey };

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

export const SigningKey = KeyInfo.extend({ wrapped: WrappedKey });
export type SigningKey = z.infer<typeof SigningKey>;

const keyName = z.object({ domain: z.string(), selector: z.string() });

export const credentialStoreContract = defineContract('credential-store', 1, {
  operations: {
    /**
     * What a signer needs: the keys that sign, wrapped. They come in pages that fit a bus message: ask again with
     * `after: next` until there is no `next`, and from the start when the revision changes in between.
     */
    signingKeys: {
      request: z.object({ after: z.string().optional() }),
      reply: z.object({ revision: z.number().int(), keys: z.array(SigningKey), next: z.string().optional() }),
    },
    create: {
      request: keyName.extend({ algorithm: KeyAlgorithm.default('rsa-2048'), allowWeak: z.boolean().default(false) }),
      reply: KeyInfo,
      errors: ['exists', 'invalid-name', 'weak-key', 'no-nek', 'nek-mismatch', 'store-failed'],
      timeout: 60_000,
    },
    list: { request: z.object({ domain: z.string().optional() }), reply: z.object({ keys: z.array(KeyInfo) }) },
    get: { request: keyName, reply: KeyInfo, errors: ['not-found'] },
    delete: { request: keyName, reply: z.object({}), errors: ['not-found', 'store-failed'] },
  },
  events: {
    /** The set of signing keys changed; a signer whose revision is older asks for `signingKeys`. */
    changed: z.object({ revision: z.number().int() }),
  },
});
export type CredentialStoreContract = typeof credentialStoreContract;
