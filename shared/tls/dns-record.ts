import { z } from 'zod';

/** Records in DNS that tell other servers of our TLS. */

const keyDigest = z.string().regex(/^[0-9a-f]{64}$/);

/** What one is to say. */
export const TlsDnsRecord = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('tlsa'),
    /** A mail host. */
    host: z.string(),
    /** SHA-256 of the public keys of its certificates, hex: those in use, and those that will be. */
    used: z.array(keyDigest).min(1).max(16),
    next: z.array(keyDigest).max(4),
    /** Whether these are all that are in use: every listener of the host has said. */
    complete: z.boolean(),
    /** The nodes that said, and those of them that show a key for the host; absent in a command of the version before. */
    answered: z.array(z.string()).optional(),
    shownBy: z.array(z.object({ key: keyDigest, node: z.string() })).optional(),
  }),
  z.object({
    kind: z.literal('mta-sts'),
    domain: z.string(),
    id: z.string().regex(/^[0-9A-Za-z]{1,32}$/),
    /** For how many ms senders keep the policy; 0 where it asks for nothing (`mode: none`). */
    maxAge: z.number().int().nonnegative().optional(),
  }),
  z.object({
    kind: z.literal('tls-rpt'),
    domain: z.string(),
    rua: z
      .array(z.string().regex(/^[\x21-\x2b\x2d-\x3a\x3c-\x7e]{1,500}$/))
      .min(1)
      .max(10),
  }),
]);
export type TlsDnsRecord = z.infer<typeof TlsDnsRecord>;

/** A record of ours in DNS, as it should be and as it is. */
export const TlsDnsRecordStatus = z.object({
  node: z.string(),
  /** Without the root dot. */
  name: z.string(),
  type: z.enum(['TXT', 'TLSA']),
  /** Seconds. */
  ttl: z.number().int(),
  /**
   * What should be there: all records of ours at the name. `next`: of a certificate that has yet to be used. `nodes`: those that
   * do not answer, and that it stays for, since they may come back with its certificate.
   */
  values: z.array(
    z.object({ value: z.string(), role: z.enum(['current', 'next']), nodes: z.array(z.string()).optional() }),
  ),
  by: z.enum(['update', 'manual']),
  /**
   * `published`: every authoritative server has it. `pending`: the zone was updated, and not every server has it. `due`:
   * somebody or a call with `write` has yet to publish it. `no-effect`: a TLSA record in a zone without DNSSEC, which
   * nobody would look at.
   */
  state: z.enum(['published', 'pending', 'due', 'no-effect']),
  /** What the servers say, one sentence. */
  detail: z.string(),
  /** Records at the name that should be removed, because we published them and they are not used any more. */
  obsolete: z.array(z.string()),
  /** Records at the name that are not ours. */
  others: z.array(z.string()),
  /** When every cache has the records of the next certificates, so that these may be used, ms since 1970. */
  usable: z.number().optional(),
  /** Of a policy that asks for nothing: when the last sender forgets those before it, ms since 1970. */
  kept: z.number().optional(),
});
export type TlsDnsRecordStatus = z.infer<typeof TlsDnsRecordStatus>;

/** Records of ours that should not be in DNS any more. */
export const WithdrawnTlsDnsRecord = z.object({
  ...TlsDnsRecordStatus.pick({ node: true, name: true, type: true, ttl: true, by: true }).shape,
  /**
   * `withdrawn`: no server has any. `pending`: removed from the zone, and not every server follows. `due`: somebody or a call
   * with `write` has yet to remove them. `kept`: they must stay, until `kept`, ms since 1970, or for `nodes`, which may come back.
   */
  state: z.enum(['withdrawn', 'pending', 'due', 'kept']),
  /** What the servers say, one sentence; `kept`: why. */
  detail: z.string(),
  /** Those that are there. */
  values: z.array(z.string()),
  kept: z.number().optional(),
  nodes: z.array(z.string()).optional(),
});
export type WithdrawnTlsDnsRecord = z.infer<typeof WithdrawnTlsDnsRecord>;
