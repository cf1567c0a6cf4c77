import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { CHALLENGE } from '#shared/dkim/prove.ts';
import { PresentHolder } from '#shared/keys/holders.ts';

/** The signer holds the unwrapped private keys, in memory only, and makes DKIM signatures (RFC 6376, RFC 8463). */

export const SignOutcome = z.discriminatedUnion('outcome', [
  /** `header`: the DKIM-Signature fields, each with its CRLF, to be prepended to the message. */
  z.object({
    outcome: z.literal('signed'),
    header: z.string(),
    keys: z.array(z.object({ domain: z.string(), selector: z.string() })),
  }),
  /** Mail of this domain is not to be signed. */
  z.object({ outcome: z.literal('not-configured') }),
  /** Signing failed or there is no key, and the domain's mode is best-effort: send it unsigned and count it. */
  z.object({ outcome: z.literal('unsigned'), domain: z.string(), reason: z.string() }),
  /** The domain's mode is enforce and the cause is temporary: hold the mail. */
  z.object({ outcome: z.literal('hold'), domain: z.string(), reason: z.string() }),
  /** The domain's mode is enforce and this message can never be signed: return it. */
  z.object({ outcome: z.literal('refuse'), domain: z.string(), reason: z.string() }),
]);
export type SignOutcome = z.infer<typeof SignOutcome>;

export const SignerStatus = z.object({
  node: z.string(),
  /** The node whose credential-store was asked last, and why its keys may not be the newest. */
  store: z.string().optional(),
  behind: z.string().optional(),
  /** Keys were fetched since the start; until then all mail that may need a signature is held. */
  loaded: z.boolean(),
  revision: z.number().int(),
  /** Active keys that can sign. */
  keys: z.number().int(),
  /** The last question to a credential-store was answered, and no live one announces a newer revision. */
  upToDate: z.boolean(),
  /** Keys that cannot be used, whatever their state, and why. */
  unusable: z.array(z.object({ domain: z.string(), selector: z.string(), reason: z.string() })),
});
export type SignerStatus = z.infer<typeof SignerStatus>;

export const signerContract = defineContract('signer', 1, {
  operations: {
    /** The request's bytes are the header block that will be sent, from the first prepended field to the empty line. */
    'message-sign': {
      repeatable: true,
      request: z.object({
        queueId: z.string(),
        /** Base64 SHA-256 of the relaxed body. */
        bodyHash: z.string().regex(/^[A-Za-z0-9+/]{43}=$/, 'not the base64 of 32 bytes'),
        reversePath: z.string(),
      }),
      reply: SignOutcome,
      bytes: 'request',
    },
    /**
     * Show that this node can sign with a key, whatever its state: a signature over the challenge (`shared/dkim/prove.ts`),
     * base64.
     */
    'key-prove': {
      request: z.object({
        domain: z.string(),
        selector: z.string(),
        challenge: z.string().regex(CHALLENGE, 'not 16 to 256 characters of base64'),
      }),
      reply: z.object({ node: z.string(), fingerprint: z.string(), signature: z.string() }),
      errors: ['not-held', 'unusable'],
    },
    'status-show': { request: z.object({}), reply: SignerStatus },
  },
  events: { present: PresentHolder },
});
export type SignerContract = typeof signerContract;
