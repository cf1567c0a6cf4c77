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
  expires: z.number().optional().catch(undefined),
  /** What its TLSA records say; absent: it has none that count. */
  dane: z.enum(['dane-ee', 'dane-ta', 'mismatch']).optional(),
  /** What is wrong with it, in words. */
  problem: z.string().optional(),
});
export type CertificateVerdict = z.infer<typeof CertificateVerdict>;

/** For people; `host`: the name that the certificate should be for. */
export function verdictText({ name, chain, dane, problem }: CertificateVerdict, host: string): string {
  const parts = [
    chain ? 'from a trusted authority' : 'not from a trusted authority',
    `${name ? '' : 'not '}for ${host}`,
  ];
  if (dane === 'mismatch') parts.push('not what its TLSA records name');
  else if (dane !== undefined) parts.push(`as its TLSA records name it (${dane.toUpperCase()})`);
  if (problem !== undefined) parts.push(problem);
  return parts.join('; ');
}

/** The certificate that a client presented, and what a look at it found. */
export const ClientCertificate = z.object({
  /** The common name of its subject, else all of it. */
  subject: z.string(),
  /** SHA-256 of the certificate, as hexadecimal digits. */
  fingerprint: z.string(),
  /** Its chain ends at an authority that the listener asks for. */
  verified: z.boolean(),
  /** Host names that the authority vouches for: absent where it is not verified. */
  names: z.array(z.string()).optional(),
  /** Last day, ms since 1970; 0 where it cannot be read. */
  expires: z.number(),
  /** Why it is not verified, in words. */
  problem: z.string().optional(),
});
export type ClientCertificate = z.infer<typeof ClientCertificate>;

/** TLS of a client's connection. */
export const ClientTls = z.object({
  protocol: z.string(),
  /** The cipher suite as OpenSSL calls it, and as IANA does. */
  cipher: z.string(),
  suite: z.string().optional(),
  /** Absent where the listener does not ask for one, and where the client has none. */
  certificate: ClientCertificate.optional(),
});
export type ClientTls = z.infer<typeof ClientTls>;

/** On one line, for people: `TLSv1.3, TLS_AES_256_GCM_SHA384, certificate of mx.example.com (verified)`. */
export function tlsText({ protocol, cipher, certificate }: ClientTls): string {
  const parts = [protocol, cipher];
  if (certificate !== undefined) {
    const { subject, verified, problem } = certificate;
    parts.push(`certificate of ${subject} (${verified ? 'verified' : `not verified: ${problem ?? 'unknown'}`})`);
  }
  return parts.join(', ');
}

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

/** A date of a certificate, ms since 1970; undefined where it cannot be read: a peer may present anything. */
export function readableTime(date: Date): number | undefined {
  const time = date.getTime();
  return Number.isFinite(time) ? time : undefined;
}
