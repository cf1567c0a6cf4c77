import { createHash } from 'node:crypto';
import { z } from 'zod';
import { WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { HttpChallenge } from '#shared/tls/http-challenge.ts';
import { CertificateName, StoredCertificate } from '#shared/tls/stored-certificate.ts';

/**
 * What the cluster knows about a certificate of its listeners: one replicated record, `certificate!<name>`. Its private key
 * is wrapped by a NEK of `tls.nek` (shared/tls/stored-certificate.ts); the record itself has a MAC like every other one.
 *
 * All times are ms since 1970 by the clock of the node that wrote them.
 */
export const CertificateRecord = z.object({
  name: CertificateName,
  /** What listeners use; it is replaced as a whole. */
  current: StoredCertificate.omit({ name: true })
    .extend({
      origin: z.enum(['import', 'acme']),
      /** When it was put here, and by which node. */
      since: z.number(),
      node: z.string(),
    })
    .optional(),
  /** An administrator deleted it; the record stays until what `acme.challenges` names is out of DNS. */
  deleted: z.boolean().optional(),
  /** Of one that the cluster orders by itself (certificates/acme/orders.ts). */
  acme: z
    .object({
      /** The node that orders now, absent between two orders; `term` rises with every claim. */
      node: z.string().optional(),
      term: z.number().int(),
      /** When an administrator asked for one. */
      asked: z.number().optional(),
      /** TXT records that were written for the authority and may still be there. */
      challenges: z.array(z.object({ name: z.string(), value: z.string() })).optional(),
      /** What listeners answer the authority now. */
      tokens: z.array(HttpChallenge).optional(),
      /** The order that an authority has of us and that is not ended, with the private key of its certificate, wrapped. */
      order: z
        .object({
          ...{ url: z.string(), directory: z.string(), names: z.array(z.string()), wrapped: WrappedSecret },
          /** When it was begun; absent in the version before. */
          since: z.number().optional(),
        })
        .optional(),
      /** How many certificates in a row were replaced, by themselves, within a day of their issue. */
      soon: z.number().int().optional(),
      /** Why the last order failed; `tries` in a row, `next` when it is tried again. */
      problem: z
        .object({ text: z.string(), since: z.number(), at: z.number(), tries: z.number().int(), next: z.number() })
        .optional(),
      /** When the authority wants the certificate of this fingerprint to be renewed (RFC 9773). */
      suggested: z
        .object({
          fingerprint: z.string(),
          /** The point that was chosen in the window of `start` and `end`. */
          at: z.number(),
          start: z.number().optional(),
          end: z.number().optional(),
          /** Where the authority says why. */
          explanation: z.string().optional(),
          /** When it was asked, and when it is asked again. */
          asked: z.number(),
          next: z.number().optional(),
        })
        .optional(),
    })
    .optional(),
});
export type CertificateRecord = z.infer<typeof CertificateRecord>;
export type AcmeState = NonNullable<CertificateRecord['acme']>;

/**
 * An account of the cluster at an authority, record `acme-account!<directory>`: its private key, wrapped by a NEK of
 * `tls.nek`. The authority knows the rest by the key (RFC 8555 §7.3.1).
 */
export const AcmeAccount = z.object({ directory: z.string(), wrapped: WrappedSecret });
export type AcmeAccount = z.infer<typeof AcmeAccount>;

export const acmeAccountKey = (directory: string): string =>
  `acme-account!${createHash('sha256').update(directory).digest('hex').slice(0, 32)}`;

const CERTIFICATE = 'certificate!';
export const certificateKey = (name: string): string => `${CERTIFICATE}${name}`;
/** The name of a certificate by the key of its record; undefined for other records. */
export const certificateOfKey = (key: string): string | undefined =>
  key.startsWith(CERTIFICATE) ? key.slice(CERTIFICATE.length) : undefined;
