import { z } from 'zod';

/** A certificate of the cluster without its private key. */
export const CertificateStatus = z.object({
  name: z.string(),
  /** What listeners use; absent until there is one. */
  current: z
    .object({
      /** Host names, in lower case. */
      names: z.array(z.string()),
      issuer: z.string(),
      /** ms since 1970 */
      from: z.number(),
      until: z.number(),
      /** `P-256`, `RSA 2048`. */
      key: z.string(),
      /** SHA-256 of the certificate, hex in pairs with colons. */
      fingerprint: z.string(),
      origin: z.enum(['import', 'acme']),
      since: z.number(),
      /** The node that put it here. */
      node: z.string(),
      /** The NEK that wraps its private key. */
      nek: z.string(),
    })
    .optional(),
  /** Of one that the cluster orders by itself; absent for others, and in the version before. */
  renewal: z
    .object({
      /** When it is due, ms since 1970. */
      at: z.number().optional(),
      /**
       * Why then: the authority suggests it; that suggests later than is safe; or two thirds of its life are over. Absent in
       * the version before, as the three that follow.
       */
      why: z.enum(['authority', 'latest', 'life']).optional(),
      /** What the authority suggests (RFC 9773), and where it says why. */
      window: z.object({ start: z.number(), end: z.number(), explanation: z.string().optional() }).optional(),
      /** How its names are proven; absent where it is not in the configuration of the node that answers. */
      challenge: z.enum(['dns-01', 'http-01']).optional(),
      /** The node that orders now. */
      ordering: z.string().optional(),
      /** When an administrator asked for one that was not ordered yet. */
      asked: z.number().optional(),
      /** Why the last order failed; `tries` in a row, `next` when it is tried again. */
      problem: z.object({ text: z.string(), since: z.number(), tries: z.number().int(), next: z.number() }).optional(),
    })
    .optional(),
  /** It was deleted, and TXT records of its orders are still to be taken out of DNS. */
  deleted: z.boolean().optional(),
  /** PEM, the certificate of the server first; in answers about one certificate. */
  chain: z.string().optional(),
});
export type CertificateStatus = z.infer<typeof CertificateStatus>;
