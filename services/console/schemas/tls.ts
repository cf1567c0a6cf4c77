import { z } from 'zod';
import { LedgerDirection, LedgerRow, LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { CertificateStatus } from '#shared/tls/certificate-status.ts';

/** TLS: the ledger, the certificates of the cluster, and what others report. Times are ms since 1970. */

/** Nodes that did not answer, so that what they know is missing. */
const Silent = z.array(z.string());

/** The last so many hours. */
const Hours = z.coerce.number().int().min(1).max(8760).default(24);

export const LedgerQuery = z.strictObject({ direction: LedgerDirection.default('out'), hours: Hours });

export const LedgerReply = z.object({
  /** By domain, those with the most mail that is weaker than wanted first. */
  totals: z.array(LedgerTotal),
  /** All domains together, also those that are left out of a long list. */
  sum: LedgerTotal.omit({ direction: true, domain: true, last: true }).required(),
  /** Domains that are left out. */
  more: z.number().int(),
  /** Reading took too long: mail that came before is not counted of every node. */
  since: z.number().optional(),
  silent: Silent,
  /** Damaged records, which are not counted. */
  unreadable: z.number().int(),
});
export type LedgerReply = z.infer<typeof LedgerReply>;

export const LedgerRowsQuery = LedgerQuery.extend({
  /** This domain alone, without those below it; `<>`: the null reverse-path. */
  domain: z.string().min(1).max(255),
  /** Only what is weaker than wanted. */
  weaker: z.stringbool().default(false),
});

export const LedgerRowsReply = z.object({
  /** The newest first. `verdict`: on the certificate of the peer, where it showed one. */
  rows: z.array(LedgerRow.extend({ weaker: z.boolean(), verdict: z.string().optional() })),
  /** There are more. */
  more: z.boolean(),
  since: z.number().optional(),
  silent: Silent,
});
export type LedgerRowsReply = z.infer<typeof LedgerRowsReply>;

export const CertificatesReply = z.object({
  /** Which node answered, and why it may not know the newest. */
  node: z.string(),
  behind: z.string().optional(),
  /** What is wrong, the worst first; `about`: `certificate NAME`, `node NAME`. */
  findings: z.array(
    z.object({
      check: z.string(),
      severity: z.enum(['error', 'warning', 'note']),
      about: z.string(),
      text: z.string(),
      help: z.string(),
    }),
  ),
  certificates: z.array(
    CertificateStatus.omit({ chain: true }).extend({
      /** `failed`: the last order did, and there is none; `missing`: there is none yet; `deleted`: it is about to go. */
      state: z.enum(['valid', 'expiring', 'expired', 'failed', 'missing', 'deleted']),
      /** Nodes whose listeners present it. */
      usedAt: z.array(z.string()),
      /** What comes next, as a clause; `-` where that is for an administrator to do. */
      next: z.string(),
    }),
  ),
  /** What listeners show to clients, of the cluster or of files; `hosts`: names by which clients get it, `*` for others. */
  presented: z.array(
    z.object({
      hosts: z.array(z.string()),
      names: z.array(z.string()),
      key: z.string(),
      until: z.number(),
      nodes: z.array(z.string()),
    }),
  ),
});
export type CertificatesReply = z.infer<typeof CertificatesReply>;

export const CertificateName = z.object({ name: z.string().min(1).max(100) });
