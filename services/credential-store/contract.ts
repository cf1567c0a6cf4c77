import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';

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

/** A private key (PKCS#8 DER) under AES-256-GCM, with domain, selector and algorithm as additional data. Base64. */
export const WrappedKey = z.object({ nek: z.string(), iv: z.string(), tag: z.string(), data: z.string() });
export type WrappedKey = z.infer<typeof WrappedKey>;

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
    /** Everything a signer needs: all keys that sign, wrapped, at one revision. */
    signingKeys: { request: z.object({}), reply: z.object({ revision: z.number().int(), keys: z.array(SigningKey) }) },
    create: {
      request: keyName.extend({ algorithm: KeyAlgorithm.default('rsa-2048'), allowWeak: z.boolean().default(false) }),
      reply: KeyInfo,
      errors: ['exists', 'invalid-name', 'weak-key', 'no-nek', 'store-failed'],
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
