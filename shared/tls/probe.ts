import { z } from 'zod';
import { Directive } from '../directive.ts';
import { CertificateVerdict, Protection, TlsDemand, TlsSource } from '../mail/tls.ts';

/** What would become of mail for a domain, host by host: as a router answers that looked. */

const ProbedCertificate = z.object({
  subject: z.string(),
  issuer: z.string(),
  names: z.array(z.string()),
  /** ms since 1970. */
  from: z.number(),
  until: z.number(),
});

/** What the host was asked for: the usual ClientHello, a reduced one, or clear text. */
const Rung = z.enum(['usual', 'reduced', 'clear']);

const ProbedHost = z.object({
  name: z.string(),
  address: z.string(),
  port: z.number().int(),
  /** `proof`: what a certificate has to satisfy, TLSA records or a trusted authority. */
  wanted: z.object({ tls: TlsDemand, by: TlsSource, proof: z.enum(['dane', 'web']).optional() }),
  /** What its TLSA records are; absent: it has none that are proven. */
  dane: z.enum(['records', 'unusable', 'unknown']).optional(),
  /** The policy of the domain, and whether it names the host. */
  sts: z.object({ mode: z.enum(['enforce', 'testing']), matches: z.boolean() }).optional(),
  /** Steps that did not do, in their order. */
  failures: z.array(z.object({ rung: Rung, reply: z.string() })),
  /** The step that did; absent: the host is not used. */
  session: z.object({ rung: Rung, protection: Protection }).optional(),
  /** The handshake that came about last, and what was presented in it, the certificate of the host first. */
  handshake: z
    .object({ protocol: z.string(), cipher: z.string(), certificates: z.array(ProbedCertificate) })
    .optional(),
  certificate: CertificateVerdict.optional(),
});
export type ProbedHost = z.infer<typeof ProbedHost>;

const ProbedWay = z.object({
  /** Where the route leads; empty: nowhere. */
  nextHop: z.string(),
  /** Why that is not what the route says. */
  redirected: Directive.optional(),
  /** In the order in which they are tried first; none where mail stays on this machine. */
  hosts: z.array(ProbedHost),
  /** Why there are none. */
  unreachable: z.object({ state: z.enum(['deferred', 'failed']), reply: z.string() }).optional(),
});
export type ProbedWay = z.infer<typeof ProbedWay>;

/** That of everybody whose mail takes no other one. */
export const ProbedDomain = ProbedWay.extend({
  node: z.string(),
  /** Those of senders that routes name, where they lead elsewhere. */
  others: z
    .array(
      ProbedWay.extend({ for: z.array(z.object({ from: z.string().optional(), user: z.string().optional() })).min(1) }),
    )
    .optional(),
});
export type ProbedDomain = z.infer<typeof ProbedDomain>;
