import { z } from 'zod';
import { WrappedKey } from '#shared/dkim/key-wrap.ts';
import { KeyInfo } from '#shared/keys/key.ts';
import { AcmeAccount, CertificateRecord } from './certificate-record.ts';
import { PublishedRecord } from './published-record.ts';

/**
 * What the cluster knows about a signing domain: its keys, its rotation, its schedule, and the node that drives them. It is
 * one replicated record, `domain!<domain>`, so that every transition of a key or a rotation is one compare-and-set over
 * everything on which its rules depend. The states, and the only functions that change them, are in life/.
 *
 * All times are ms since 1970 by the clock of the node that wrote them.
 */

/** How the record of a key gets into DNS; decided when the key is made. */
export const Publication = z.discriminatedUnion('by', [
  /** RFC 2136 update of the zone that holds `<selector>._domainkey.<domain>`. */
  z.object({ by: z.literal('update'), zone: z.string() }),
  /** By the administrator; the driver waits for it. */
  z.object({ by: z.literal('manual') }),
  /** A CNAME at `<selector>._domainkey.<domain>` points to `target`, in a zone that Sealpost updates. */
  z.object({ by: z.literal('cname'), zone: z.string(), target: z.string() }),
  /** Not at all: the domain is not in DNS (`keys.proof: none`). */
  z.object({ by: z.literal('none') }),
]);
export type Publication = z.infer<typeof Publication>;

export const KeyRecord = KeyInfo.omit({ domain: true }).extend({
  /** When it entered its state. */
  since: z.number(),
  /** Becomes active without a further order after it is proven. */
  activate: z.boolean(),
  /** It signed mail, or may have: its record must be revoked before it is removed. */
  signed: z.boolean(),
  publication: Publication,
  /** TTL of the record in seconds: how long caches may keep it. */
  ttl: z.number().int(),
  /** `retiring`: when it may be retired. `revoked`: when its record may be removed. */
  until: z.number().optional(),
  /** Absent from `retired` on. */
  wrapped: WrappedKey.optional(),
  /** An administrator revoked it: somebody else may have it. Absent where not. */
  compromised: z.literal(true).optional(),
  /** Why it does not advance to its next state. `permanent`: it needs a person, and is tried again at long intervals. */
  problem: z.object({ text: z.string(), since: z.number(), permanent: z.boolean() }).optional(),
});
export type KeyRecord = z.infer<typeof KeyRecord>;

export const Rotation = z.object({
  id: z.string(),
  started: z.number(),
  /** The node that got the order, or `schedule`. */
  by: z.string(),
  /** Each key of `from` is replaced by the key of `to` at the same index. */
  to: z.array(z.string()),
  from: z.array(z.string()),
  /** How long old and new sign side by side after the switch, in ms. */
  sideBySide: z.number(),
  /** No transition is made while it is set. */
  frozen: z.object({ at: z.number(), by: z.string(), reason: z.string() }).optional(),
  /** Set when every live node signs with `to`; `revision`: that of the store at the switch. */
  switched: z.object({ at: z.number(), revision: z.number() }).optional(),
  ended: z.object({ at: z.number(), how: z.enum(['done', 'rolled-back']) }).optional(),
  /** The last 50 events, oldest first. */
  events: z.array(z.object({ at: z.number(), node: z.string(), text: z.string() })),
});
export type Rotation = z.infer<typeof Rotation>;

export const Schedule = z.object({
  /** Days between two rotations. */
  days: z.number().int().positive(),
  /** `HH:MM` in `zone`, an IANA time zone. */
  at: z.string(),
  zone: z.string(),
  /** May run while another domain is being rotated. */
  parallel: z.boolean(),
  next: z.number(),
});
export type Schedule = z.infer<typeof Schedule>;

export const DomainRecord = z.object({
  domain: z.string(),
  /** All keys that are not deleted, in the order in which they were made. */
  keys: z.array(KeyRecord),
  /** Selectors whose keys are deleted. Only CNAME delegation uses a selector again. */
  used: z.array(z.object({ selector: z.string(), fingerprint: z.string(), deleted: z.number() })),
  /** The current rotation, or the last one. */
  rotation: Rotation.optional(),
  schedule: Schedule.optional(),
  /**
   * The node that makes the next transition. `term` rises with every claim: a driver whose term is old writes nothing
   * more.
   */
  driver: z.object({ node: z.string(), term: z.number().int() }).optional(),
});
export type DomainRecord = z.infer<typeof DomainRecord>;

/**
 * The named encryption keys of this cluster, record `neks`: only their metadata. The NEKs themselves are never in the
 * store.
 */
export const NekList = z.object({
  neks: z.array(z.object({ name: z.string(), fingerprint: z.string(), since: z.number() })),
  /** Fingerprint of the NEK that wraps new keys, and with which all others are re-wrapped. */
  current: z.string(),
});
export type NekList = z.infer<typeof NekList>;

/** Everything that the credential-store replicates. */
export const CredentialRecord = z.discriminatedUnion('kind', [
  DomainRecord.extend({ kind: z.literal('domain') }),
  NekList.extend({ kind: z.literal('neks') }),
  CertificateRecord.extend({ kind: z.literal('certificate') }),
  PublishedRecord.extend({ kind: z.literal('published') }),
  AcmeAccount.extend({ kind: z.literal('acme-account') }),
]);
export type CredentialRecord = z.infer<typeof CredentialRecord>;

export const NEKS_KEY = 'neks';
export const publishedKey = (name: string): string => `published!${name}`;
const DOMAIN = 'domain!';
export const domainKey = (domain: string): string => `${DOMAIN}${domain}`;
/** The domain of a record by its key; undefined for other records. */
export const domainOfKey = (key: string): string | undefined =>
  key.startsWith(DOMAIN) ? key.slice(DOMAIN.length) : undefined;
