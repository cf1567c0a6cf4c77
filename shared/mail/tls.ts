import { z } from 'zod';

/**
 * How a delivery was protected on its way to the next hop: what was wanted, what was reached, and why they differ. In the
 * form that lies on disk with the outcome, and crosses the bus.
 */

/** What can be wanted, weakest first; as in `tls` of a route. */
export const TlsDemand = z.enum(['off', 'opportunistic', 'required', 'verified']);
export type TlsDemand = z.infer<typeof TlsDemand>;

/** What can be reached, weakest first. `verified`: the certificate is that of the peer, by DANE or by a trusted authority. */
export const TlsLevel = z.enum(['clear', 'encrypted', 'verified']);
export type TlsLevel = z.infer<typeof TlsLevel>;

/** Who wanted it, the most specific first: the first of them that says something counts. */
export const TlsSource = z.enum(['route', 'message', 'dane', 'mta-sts', 'memory', 'default']);
export type TlsSource = z.infer<typeof TlsSource>;

/** What a look at the certificate of a peer found, also where nothing depended on it. */
export const CertificateVerdict = z.object({
  /** It is for the name of the host. */
  name: z.boolean(),
  /** Its chain ends at an authority that this machine, or `ca` of the route, trusts. */
  chain: z.boolean(),
  /** Last day of the peer's certificate, ms since 1970. */
  expires: z.number().optional(),
  /** What its TLSA records say; absent: it has none that count. */
  dane: z.enum(['dane-ee', 'dane-ta', 'mismatch']).optional(),
  /** What is wrong with it, in words. */
  problem: z.string().optional(),
});
export type CertificateVerdict = z.infer<typeof CertificateVerdict>;

/** Of one connection. */
export const Protection = z.object({
  wanted: TlsDemand,
  by: TlsSource,
  reached: TlsLevel,
  certificate: CertificateVerdict.optional(),
  /** Why less was reached than wanted, or clear text where TLS was tried. */
  why: z.string().optional(),
});
export type Protection = z.infer<typeof Protection>;

/** A destination that had TLS before and offers none now: since when (ms since 1970), and what becomes of its mail. */
export const LostTls = z.object({
  domain: z.string(),
  host: z.string(),
  since: z.number(),
  mail: z.enum(['waits', 'sent in clear text']),
});
export type LostTls = z.infer<typeof LostTls>;
