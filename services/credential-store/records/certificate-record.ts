import { z } from 'zod';
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
});
export type CertificateRecord = z.infer<typeof CertificateRecord>;

const CERTIFICATE = 'certificate!';
export const certificateKey = (name: string): string => `${CERTIFICATE}${name}`;
/** The name of a certificate by the key of its record; undefined for other records. */
export const certificateOfKey = (key: string): string | undefined =>
  key.startsWith(CERTIFICATE) ? key.slice(CERTIFICATE.length) : undefined;
