import { z } from 'zod';

/**
 * What was found out about the genuineness of a message from outside, as policy says it, the router keeps it and reports
 * count it. Words are those of RFC 8601 §2.7, RFC 8617 and RFC 9989; names of domains are lower-case A-labels.
 */

/** Signatures of one message that are looked at; more are told as `policy`, without a look at their keys. */
export const MOST_SIGNATURES = 10;

/** Kinds of body hashes that are computed for one message. */
export const MOST_BODY_HASHES = 6;

const domain = z.string().max(255);
const reason = z.string().max(500).optional();

/**
 * The hash of a body as a signature wants it (RFC 6376 §3.4, §3.7), computed where the body passes. `length`: the bytes of
 * the canonical body that `l=` names; `hashed` and `total`: those that were hashed, and those that there are.
 */
export const BodyHash = z.object({
  canonicalization: z.enum(['simple', 'relaxed']),
  length: z.number().int().nonnegative().optional(),
  /** Base64 SHA-256. */
  hash: z.string().max(44),
  hashed: z.number().int().nonnegative(),
  total: z.number().int().nonnegative(),
});
export type BodyHash = z.infer<typeof BodyHash>;

export const SpfFound = z.object({
  result: z.enum(['none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror']),
  /** The identity that was checked (RFC 7208 §2.3, §2.4) and its domain. */
  scope: z.enum(['mfrom', 'helo']),
  domain,
  reason,
});
export type SpfFound = z.infer<typeof SpfFound>;

export const DkimFound = z.object({
  result: z.enum(['pass', 'fail', 'neutral', 'policy', 'temperror', 'permerror']),
  /** d=, s=, i=, a=, as far as they can be read, and the first characters of b= (RFC 6008). */
  domain: domain.optional(),
  selector: domain.optional(),
  identity: z.string().max(500).optional(),
  algorithm: z.string().max(50).optional(),
  signature: z.string().max(16).optional(),
  /** It passes, and l= leaves a part of the body to whoever passed the message on. */
  partial: z.boolean().optional(),
  /** Its domain is that of the author, as DMARC wants it. */
  aligned: z.boolean(),
  reason,
});
export type DkimFound = z.infer<typeof DkimFound>;

export const ArcFound = z.object({
  result: z.enum(['none', 'pass', 'fail']),
  /** Instances, and d= of the newest seal. */
  sets: z.number().int().nonnegative(),
  sealer: domain.optional(),
  reason,
});
export type ArcFound = z.infer<typeof ArcFound>;

const Disposition = z.enum(['none', 'quarantine', 'reject']);

export const DmarcFound = z.object({
  result: z.enum(['none', 'pass', 'fail', 'temperror', 'permerror']),
  /** The author's domain; absent where there is none or more than one. */
  from: domain.optional(),
  /** The record that holds: whose it is, and what it says. */
  record: z
    .object({
      domain,
      p: Disposition,
      sp: Disposition.optional(),
      np: Disposition.optional(),
      adkim: z.enum(['r', 's']),
      aspf: z.enum(['r', 's']),
      testing: z.boolean(),
      /** Addresses of aggregate and of failure reports, as published. */
      rua: z.string().max(2000).optional(),
      ruf: z.string().max(2000).optional(),
      fo: z.string().max(20).optional(),
    })
    .optional(),
  /** What the record asks for with this message. */
  policy: Disposition.optional(),
  dkimAligned: z.boolean(),
  spfAligned: z.boolean(),
  /** What was done with it, and why something else than `policy` (RFC 9990 §3.1.1.10). */
  disposition: Disposition,
  override: z
    .object({
      type: z.enum(['local_policy', 'mailing_list', 'policy_test_mode', 'trusted_forwarder', 'other']),
      comment: z.string().max(500).optional(),
    })
    .optional(),
  reason,
});
export type DmarcFound = z.infer<typeof DmarcFound>;

export const Authenticity = z.object({
  spf: SpfFound,
  dkim: z.array(DkimFound).max(MOST_SIGNATURES + 1),
  arc: ArcFound,
  dmarc: DmarcFound,
});
export type Authenticity = z.infer<typeof Authenticity>;

/** The words of it, each with the domain that it is about: `pass example.com`. For log lines and tables. */
export function summarize({ spf, dkim, arc, dmarc }: Authenticity): Record<'spf' | 'dkim' | 'arc' | 'dmarc', string> {
  const words = (...parts: (string | undefined)[]): string => parts.filter((part) => part).join(' ');
  return {
    spf: words(spf.result, spf.domain),
    dkim: dkim.map((one) => words(one.result, one.domain)).join(', ') || 'none',
    arc: words(arc.result, arc.sealer),
    dmarc: words(dmarc.result, dmarc.from, dmarc.disposition === 'none' ? undefined : dmarc.disposition),
  };
}
