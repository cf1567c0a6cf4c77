import { z } from 'zod';
import type { OperationSpec } from '#shared/contract.ts';
import { NekMac } from '#shared/dkim/nek-mac.ts';
import { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { HttpChallenge } from '#shared/tls/http-challenge.ts';
import { CertificateName, StoredCertificate } from '#shared/tls/stored-certificate.ts';
import { CHANGE, FollowPage, FollowQuestion } from './common.ts';

/** What can be asked about the certificates of listeners. */

export const certificateOperations = {
  /**
   * What a listener needs: every certificate, its private key wrapped by a NEK of `tls.nek`, which proves the answer too
   * (`macs`, shared/tls/stored-certificate.ts). Otherwise as `signing-key-list`; `changed` has the names of certificates.
   */
  'serving-certificate-list': {
    request: FollowQuestion,
    reply: FollowPage.extend({ certificates: z.array(StoredCertificate) }),
    errors: ['not-caught-up'],
    elsewhere: ['not-caught-up'],
  },
  /**
   * What authorities may fetch from listeners now (HTTP-01), to prove that names are ours. `macs`: by each NEK of
   * `tls.nek` (shared/tls/http-challenge.ts).
   */
  'challenge-list': {
    request: z.object({ nonce: z.string().max(64) }),
    reply: z.object({ node: z.string(), challenges: z.array(HttpChallenge), macs: z.array(NekMac) }),
    errors: ['not-caught-up', 'no-nek'],
    elsewhere: ['not-caught-up', 'no-nek'],
    repeatable: true,
  },
  /** Certificates in the order of their names, a page at a time. */
  'certificate-list': {
    request: z.object({ after: z.string().optional() }),
    reply: z.object({
      node: z.string(),
      /** Why the answering node may not know the newest; absent when it does. */
      behind: z.string().optional(),
      certificates: z.array(CertificateStatus),
      next: z.string().optional(),
    }),
    repeatable: true,
  },
  'certificate-show': {
    request: z.object({ name: CertificateName }),
    reply: CertificateStatus,
    errors: ['not-found'],
    repeatable: true,
  },
  /** A certificate, its private key wrapped by the caller with a NEK of `tls.nek`; it takes the place of the one before. */
  'certificate-import': {
    request: StoredCertificate,
    reply: CertificateStatus,
    errors: ['tls-material', 'key-damaged', 'nek-mismatch', ...CHANGE],
    audited: ({ name }: { name: string }) => name,
  },
  /** Order one of the section `certificates` now, whether it is due or not; one node does it soon after the answer. */
  'certificate-order': {
    request: z.object({ name: CertificateName }),
    reply: CertificateStatus,
    errors: ['not-found', ...CHANGE],
    audited: ({ name }: { name: string }) => name,
  },
  /**
   * Wrap what another NEK wraps with the first NEK of `tls.nek`, which must have the fingerprint `nek`. Answers how many
   * keys that is about; without `write` nothing is changed.
   */
  'certificate-rewrap': {
    request: z.object({ nek: z.string(), write: z.boolean() }),
    reply: z.object({ node: z.string(), certificates: z.number().int(), accounts: z.number().int() }),
    errors: ['nek-missing-on-node', 'nek-mismatch', 'key-damaged', ...CHANGE],
    timeout: 60_000,
    audited: ({ nek, write }: { nek: string; write: boolean }) => (write ? `with ${nek}` : undefined),
  },
  /**
   * `force`: also the one that the configuration names as the default, and of one that is deleted what is left. `records`: TXT
   * records of its orders that are still to be taken out of DNS, by their names; it is listed until they are.
   */
  'certificate-delete': {
    request: z.object({ name: CertificateName, force: z.boolean().default(false) }),
    reply: z.object({ records: z.array(z.string()).optional() }),
    errors: ['not-found', 'in-use', ...CHANGE],
    audited: ({ name }: { name: string }) => name,
  },
} as const satisfies Record<string, OperationSpec>;
