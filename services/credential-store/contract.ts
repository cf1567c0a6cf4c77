import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import {
  AppPasswordRequest,
  DirectoryEntry,
  EntryImport,
  EntryName,
  ListChange,
  UserChange,
} from '#shared/directory/entries.ts';
import { type KeyAlgorithm as AlgorithmName, KEY_ALGORITHMS } from '#shared/dkim/algorithms.ts';
import { WrappedKey } from '#shared/dkim/key-wrap.ts';
import { NekMac } from '#shared/dkim/nek-mac.ts';
import { SealingKey } from '#shared/dkim/secret-seal.ts';
import { StoreDamage } from '#shared/store-damage.ts';
import { CertificateName, StoredCertificate } from '#shared/tls/stored-certificate.ts';

/**
 * The credential-store owns the DKIM keys: their life, their records in DNS, their copies on every node. Private keys
 * leave it only wrapped by a named encryption key (NEK). It owns the cluster's directory too: users, their passwords,
 * aliases, groups; hashes of passwords leave it only wrapped, and come to it sealed. Signer, policy and credential-store
 * processes alone can read a NEK. And it owns the certificates of the listeners, whose private keys are wrapped by NEKs of
 * their own, which listeners and credential-stores alone can read.
 *
 * This file is long because a contract is one file.
 */

export const KeyAlgorithm = z.enum(Object.keys(KEY_ALGORITHMS) as AlgorithmName[]);
export type KeyAlgorithm = z.infer<typeof KeyAlgorithm>;

/** The life of a key (life/life-cycle.ts). Only `active` keys sign mail. */
export const KeyState = z.enum([
  'created',
  'replicated',
  'published',
  'proven',
  'active',
  'retiring',
  'retired',
  'revoked',
  'deleted',
]);
export type KeyState = z.infer<typeof KeyState>;

export { WrappedKey };

/** A key without its private part. */
export const KeyInfo = z.object({
  /** Lower-case A-labels. */
  domain: z.string(),
  selector: z.string(),
  algorithm: KeyAlgorithm,
  state: KeyState,
  /** ms since 1970 */
  created: z.number(),
  /** SHA-256 over the public key as DNS publishes it (the decoded p= value), hex in pairs with colons. */
  fingerprint: z.string(),
  /** The p= value: base64 of SubjectPublicKeyInfo (RSA) or of the raw 32 bytes (Ed25519, RFC 8463). */
  publicKey: z.string(),
});
export type KeyInfo = z.infer<typeof KeyInfo>;

/** What a signer holds: every key from `created` to `retiring`, so that it can prove the key and switch immediately. */
export const SigningKey = KeyInfo.extend({ wrapped: WrappedKey });
export type SigningKey = z.infer<typeof SigningKey>;

/** What DNS said about a key's record, as one node saw it. */
export const DnsView = z.object({
  node: z.string(),
  verdict: z.enum(['ok', 'missing', 'different', 'duplicate', 'malformed', 'unreachable', 'error']),
  /** One sentence; it names the first server with a wrong answer. */
  summary: z.string(),
  /** `host`: the name server of which `server` is an address. */
  servers: z.array(
    z.object({ server: z.string(), verdict: z.string(), detail: z.string(), host: z.string().optional() }),
  ),
  /** ms since 1970 */
  at: z.number(),
});
export type DnsView = z.infer<typeof DnsView>;

/** A key as people see it. */
export const KeyStatus = KeyInfo.extend({
  /** When it entered its state, ms since 1970. */
  since: z.number(),
  /** Becomes active without a further order after it is proven. */
  activate: z.boolean(),
  /** It signed mail, or may have: at its end its record is first emptied, not just removed. */
  signed: z.boolean(),
  publish: z.enum(['update', 'manual', 'cname', 'none']),
  /** The name of the TXT record: `<selector>._domainkey.<domain>`, or the target of the CNAME. */
  record: z.string(),
  /** TTL of the record in seconds. */
  ttl: z.number().int(),
  until: z.number().optional(),
  /** NEK that wraps it; absent once the private key is erased. */
  nek: z.string().optional(),
  /** Why it does not come on. `permanent`: it needs a person, and is tried again at long intervals. */
  problem: z.object({ text: z.string(), since: z.number(), permanent: z.boolean() }).optional(),
  /** It is compromised, and verifiers may still accept what somebody else signs with it; absent where not. */
  exposed: z.boolean().optional(),
  /** The live nodes that hold it, and the number of live nodes. */
  nodes: z.object({ holding: z.array(z.string()), live: z.number().int() }),
  /** The last view of the answering node; absent when it has not looked yet, or the domain is not in DNS. */
  dns: DnsView.optional(),
});
export type KeyStatus = z.infer<typeof KeyStatus>;

/** A rotation as people see it. */
export const RotationStatus = z.object({
  domain: z.string(),
  id: z.string(),
  started: z.number(),
  by: z.string(),
  driver: z.string().optional(),
  /** `running` before the switch, `done` after it; `stopped` at a problem that needs a person. */
  state: z.enum(['running', 'frozen', 'stopped', 'done', 'rolled-back']),
  /** Why it does not continue, or what it waits for. */
  waiting: z.string().optional(),
  /** After the switch, while old and new keys sign side by side: until when, ms since 1970. */
  sideBySideUntil: z.number().optional(),
  to: z.array(z.object({ selector: z.string(), algorithm: KeyAlgorithm, state: KeyState })),
  from: z.array(z.object({ selector: z.string(), algorithm: KeyAlgorithm, state: KeyState })),
  events: z.array(z.object({ at: z.number(), node: z.string(), text: z.string() })),
});
export type RotationStatus = z.infer<typeof RotationStatus>;

export const ScheduleStatus = z.object({
  domain: z.string(),
  days: z.number().int(),
  at: z.string(),
  zone: z.string(),
  parallel: z.boolean(),
  /** ms since 1970 */
  next: z.number(),
});
export type ScheduleStatus = z.infer<typeof ScheduleStatus>;

export const NekStatus = z.object({
  name: z.string(),
  fingerprint: z.string(),
  since: z.number(),
  current: z.boolean(),
  /** Keys that it wraps. */
  keys: z.number().int(),
  /** Password hashes that it wraps; absent in the version before. */
  passwords: z.number().int().optional(),
  /** Live nodes that have it in their configuration, and those that do not. */
  having: z.array(z.string()),
  lacking: z.array(z.string()),
});
export type NekStatus = z.infer<typeof NekStatus>;

/** A process that holds keys, as the answering node hears it. */
export const Holder = z.object({
  node: z.string(),
  kind: z.enum(['credential-store', 'signer']),
  instance: z.string(),
  revision: z.number().int(),
  /** ms since it was last heard. */
  heard: z.number(),
  /** Its clock minus ours in ms; includes the time that the message took. */
  clock: z.number(),
  /** Why it does not follow the others; absent when it does. */
  behind: z.string().optional(),
  /** Fingerprints of the NEKs in its configuration. */
  neks: z.array(z.string()),
  /** A credential-store that gives records a MAC; absent in the version before. */
  seals: z.boolean().optional(),
  /** Revision of the directory of a credential-store; absent in the version before, which has none. */
  directory: z.number().int().optional(),
});
export type Holder = z.infer<typeof Holder>;

/** A process of policy that holds the directory, as the answering node hears it. */
export const DirectoryHolder = z.object({
  node: z.string(),
  instance: z.string(),
  revision: z.number().int(),
  behind: z.string().optional(),
  neks: z.array(z.string()),
});
export type DirectoryHolder = z.infer<typeof DirectoryHolder>;

/** What a process announces about itself every second and at every change. */
export const Present = Holder.omit({ heard: true, clock: true, kind: true }).extend({ time: z.number() });
export type Present = z.infer<typeof Present>;

/** A record that a node did not take in: from whom, why, and whether it holds an authentic one all the same. */
export const RefusedRecord = z.object({
  /** The domain, or the name of another record. */
  record: z.string(),
  writer: z.string().optional(),
  reason: z.string(),
  /** ms since 1970 */
  at: z.number(),
  held: z.boolean(),
});
export type RefusedRecord = z.infer<typeof RefusedRecord>;

/** A record that was written again: `from` the copy of another node; not `found`: nobody had one, and it is deleted. */
export const RepairedRecord = z.object({
  record: z.string(),
  found: z.boolean(),
  from: z.string().optional(),
  version: z.number().int(),
});
export type RepairedRecord = z.infer<typeof RepairedRecord>;

/** A certificate of the cluster without its private key. */
export const CertificateStatus = z.object({
  name: z.string(),
  /** What listeners use; absent until there is one. */
  current: z
    .object({
      /** Host names, in lower case. */
      names: z.array(z.string()),
      issuer: z.string(),
      /** ms since 1970 */
      from: z.number(),
      until: z.number(),
      /** `P-256`, `RSA 2048`. */
      key: z.string(),
      /** SHA-256 of the certificate, hex in pairs with colons. */
      fingerprint: z.string(),
      origin: z.enum(['import', 'acme']),
      since: z.number(),
      /** The node that put it here. */
      node: z.string(),
      /** The NEK that wraps its private key. */
      nek: z.string(),
    })
    .optional(),
  /** Of one that the cluster orders by itself; absent for others, and in the version before. */
  renewal: z
    .object({
      /** When it is due, ms since 1970. */
      at: z.number().optional(),
      /** The node that orders now. */
      ordering: z.string().optional(),
      /** When an administrator asked for one that was not ordered yet. */
      asked: z.number().optional(),
      /** Why the last order failed; `tries` in a row, `next` when it is tried again. */
      problem: z.object({ text: z.string(), since: z.number(), tries: z.number().int(), next: z.number() }).optional(),
    })
    .optional(),
  /** PEM, the certificate of the server first; in answers about one certificate. */
  chain: z.string().optional(),
});
export type CertificateStatus = z.infer<typeof CertificateStatus>;

const keyDigest = z.string().regex(/^[0-9a-f]{64}$/);

/** A record that tells other servers of our TLS (dns/tls-records.ts). */
export const TlsRecord = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('tlsa'),
    /** A mail host. */
    host: z.string(),
    /** SHA-256 of the public keys of its certificates, hex: those in use, and those that will be. */
    used: z.array(keyDigest).min(1).max(16),
    next: z.array(keyDigest).max(4),
    /** Whether these are all that are in use: every listener of the host has said. */
    complete: z.boolean(),
  }),
  z.object({ kind: z.literal('mta-sts'), domain: z.string(), id: z.string().regex(/^[0-9A-Za-z]{1,32}$/) }),
  z.object({
    kind: z.literal('tls-rpt'),
    domain: z.string(),
    rua: z
      .array(z.string().regex(/^[\x21-\x2b\x2d-\x3a\x3c-\x7e]{1,500}$/))
      .min(1)
      .max(10),
  }),
]);
export type TlsRecord = z.infer<typeof TlsRecord>;

/** A record of ours in DNS, as it should be and as it is. */
export const TlsRecordStatus = z.object({
  node: z.string(),
  /** Without the root dot. */
  name: z.string(),
  type: z.enum(['TXT', 'TLSA']),
  /** Seconds. */
  ttl: z.number().int(),
  /** What should be there: all records of ours at the name. `next`: of a certificate that has yet to be used. */
  values: z.array(z.object({ value: z.string(), role: z.enum(['current', 'next']) })),
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
});
export type TlsRecordStatus = z.infer<typeof TlsRecordStatus>;

const keyName = z.object({ domain: z.string(), selector: z.string() });
const domainName = z.object({ domain: z.string() });

/** Errors of every operation that changes the store. */
const CHANGE = ['no-quorum', 'store-failed', 'unreadable-record', 'no-nek'] as const;

/** Errors of every operation that changes the directory. */
const CHANGE_ENTRY = ['not-found', 'exists', 'invalid', 'nek-mismatch', ...CHANGE] as const;

const ChangedEntry = z.object({ node: z.string(), entry: DirectoryEntry });

/** The buckets of NATS JetStream that carry the changes of its records from node to node: of keys, and of the directory. */
export const CREDENTIALS_BUCKET = 'sealpost-credentials';
export const DIRECTORY_BUCKET = 'sealpost-directory';

/** What a follower of keys or of the directory asks, and a page of the answer; `signing-key-list` explains the members. */
const FollowQuestion = z.object({
  after: z.string().optional(),
  since: z.string().optional(),
  nonce: z.string().max(64).optional(),
});
const FollowPage = z.object({
  node: z.string(),
  revision: z.number().int(),
  /** Why these may not be the newest; absent when they are. */
  behind: z.string().optional(),
  next: z.string().optional(),
  changed: z.array(z.string()).optional(),
  cursor: z.string().optional(),
  macs: z.array(NekMac).optional(),
});

export const credentialStoreContract = defineContract('credential-store', 1, {
  operations: {
    /**
     * What a signer needs: the keys that it must hold, wrapped. They come in pages that fit a bus message: ask again with
     * `after: next` until there is no `next`, and from the start when the revision changes in between. `revision` is the
     * same on every node that has seen the same changes, and never goes down. A node that has yet to catch up with others
     * that it can reach answers `not-caught-up`.
     *
     * `since`, a `cursor` of an earlier answer, asks only for the keys of the domains that changed since then; `changed`
     * names these domains, also those without keys. A store that did not issue the cursor answers all keys and no `changed`.
     *
     * `macs` proves that the answer, to a question with this `nonce`, comes from a process with a NEK
     * (shared/dkim/list-proof.ts); absent where the store has none, or is of the version before.
     */
    'signing-key-list': {
      request: FollowQuestion,
      reply: FollowPage.extend({ keys: z.array(SigningKey) }),
      errors: ['not-caught-up'],
      elsewhere: ['not-caught-up'],
    },
    /**
     * Make a key. `activate` absent: it becomes active without a further order where the domain has no active key of its
     * type.
     */
    'key-create': {
      request: keyName.extend({
        algorithm: KeyAlgorithm.default('rsa-2048'),
        allowWeak: z.boolean().default(false),
        activate: z.boolean().optional(),
      }),
      reply: KeyStatus,
      errors: ['exists', 'invalid-name', 'weak-key', 'nek-mismatch', 'not-configured', ...CHANGE],
      timeout: 60_000,
    },
    /** Import a key that was made elsewhere, wrapped by the caller with the current NEK. */
    'key-import': {
      request: keyName.extend({
        algorithm: KeyAlgorithm,
        publicKey: z.string(),
        wrapped: WrappedKey,
        allowWeak: z.boolean().default(false),
        activate: z.boolean().optional(),
      }),
      reply: KeyStatus,
      errors: ['exists', 'invalid-name', 'weak-key', 'nek-mismatch', 'key-damaged', 'not-configured', ...CHANGE],
    },
    /** Keys in the order of domain and selector, a page at a time. */
    'key-list': {
      request: z.object({ domain: z.string().optional(), after: z.string().optional() }),
      reply: z.object({
        node: z.string(),
        /** Why the answering node may not know the newest; absent when it does. */
        behind: z.string().optional(),
        keys: z.array(KeyStatus),
        next: z.string().optional(),
      }),
      repeatable: true,
    },
    'key-show': { request: keyName, reply: KeyStatus, errors: ['not-found'], repeatable: true },
    /** The private key as it is stored, for an export by an administrator who has the NEK. */
    'key-export': { request: keyName, reply: SigningKey, errors: ['not-found', 'erased'] },

    /** Replace every active key of a domain (or those named in `from`) by a new one of the same algorithm. */
    'rotation-start': {
      request: domainName.extend({
        from: z.array(z.string()).min(1).optional(),
        /** Names of the new keys, in the order of those they replace; default: by date. */
        to: z.array(z.string()).optional(),
        /** ms */
        sideBySide: z.number().int().nonnegative().default(0),
      }),
      reply: RotationStatus,
      errors: [
        'rotation-under-way',
        'no-active-key',
        'not-found',
        'exists',
        'invalid-name',
        'nek-mismatch',
        'not-configured',
        'no-selector',
        ...CHANGE,
      ],
      timeout: 60_000,
    },
    'rotation-show': { request: domainName, reply: RotationStatus, errors: ['not-found'], repeatable: true },
    'rotation-freeze': {
      request: domainName.extend({ reason: z.string().default('') }),
      reply: RotationStatus,
      errors: ['not-found', 'wrong-state', ...CHANGE],
    },
    /** Continue after `freeze`, or try again after a permanent problem of the domain's keys. */
    'rotation-resume': { request: domainName, reply: z.object({}), errors: ['not-found', 'wrong-state', ...CHANGE] },
    'rotation-rollback': {
      request: domainName,
      reply: RotationStatus,
      errors: ['not-found', 'wrong-state', ...CHANGE],
    },

    'key-activate': { request: keyName, reply: KeyStatus, errors: ['not-found', 'wrong-state', ...CHANGE] },
    /** Stop signing with it; `force`: also when it is the domain's last active key. */
    'key-retire': {
      request: keyName.extend({ force: z.boolean().default(false) }),
      reply: KeyStatus,
      errors: ['not-found', 'wrong-state', 'last-key', ...CHANGE],
    },
    /** Declare it compromised: it stops signing and its record is revoked immediately. */
    'key-revoke': {
      request: keyName.extend({ force: z.boolean().default(false) }),
      reply: KeyStatus,
      errors: ['not-found', 'wrong-state', 'last-key', ...CHANGE],
    },
    /** Remove a key that never signed, or one that is revoked, with its record. */
    'key-delete': {
      request: keyName,
      reply: z.object({}),
      errors: ['not-found', 'wrong-state', ...CHANGE],
    },
    /** Rotate every `days` days; `days` absent removes the schedule. Default of `zone`: that of the answering node. */
    'schedule-set': {
      request: domainName.extend({
        days: z.number().int().min(1).max(3650).optional(),
        at: z
          .string()
          .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day is HH:MM')
          .default('03:00'),
        zone: z.string().optional(),
        parallel: z.boolean().default(false),
      }),
      reply: z.object({ schedule: ScheduleStatus.optional() }),
      errors: ['not-found', 'invalid-schedule', ...CHANGE],
    },
    'schedule-list': {
      request: z.object({}),
      reply: z.object({ schedules: z.array(ScheduleStatus) }),
      repeatable: true,
    },

    /** Look up the record of a key in DNS now, as this node sees it; default of `expected`: what its state requires. */
    'record-resolve': {
      request: keyName.extend({ expected: z.enum(['key', 'revoked', 'absent']).optional() }),
      reply: DnsView,
      errors: ['not-found', 'not-in-dns'],
      timeout: 30_000,
    },
    /** The same as every live node sees it, and whether the signers there hold the key. */
    'key-verify': {
      request: keyName,
      reply: z.object({
        key: KeyInfo,
        views: z.array(DnsView),
        /** Nodes whose signer did not prove the key, and why. */
        unproven: z.array(z.object({ node: z.string(), reason: z.string() })),
      }),
      errors: ['not-found'],
      timeout: 60_000,
    },

    /**
     * Publish a record about our TLS, where `dns.zones` has its zone, and wait a while until all servers have it; or say
     * what is there. `replace`: also in place of records of the same kind that others made. Without `write` nothing is
     * changed.
     */
    'tls-record-publish': {
      request: z.object({ record: TlsRecord, write: z.boolean(), replace: z.boolean() }),
      reply: TlsRecordStatus,
      errors: [
        'dns-name',
        'dns-resolver',
        'dns-unreachable',
        'dns-no-route',
        'dns-malformed',
        'dns-refused',
        'dns-failed',
        ...CHANGE,
      ],
      timeout: 90_000,
    },

    'nek-list': { request: z.object({}), reply: z.object({ neks: z.array(NekStatus) }), repeatable: true },
    /** Initialize the store with a NEK (Domino's `create credstore`). */
    'nek-use': {
      request: z.object({ name: z.string() }),
      reply: NekStatus,
      errors: ['exists', 'nek-mismatch', ...CHANGE],
    },
    /** Make another NEK the current one and re-wrap every key with it. */
    'nek-rotate': {
      request: z.object({ name: z.string() }),
      reply: z.object({ nek: NekStatus, rewrapped: z.number().int() }),
      errors: ['nek-missing-on-node', 'nek-mismatch', ...CHANGE],
      timeout: 120_000,
    },
    /** Remove a NEK that no longer wraps any key. */
    'nek-delete': {
      request: z.object({ name: z.string() }),
      reply: z.object({}),
      errors: ['not-found', 'in-use', ...CHANGE],
    },

    /**
     * The records of the directory as they are stored, for policy, which follows it, and for an export by an administrator
     * who has the NEK. `since`, `changed`, `cursor` and `macs` are as in `signing-key-list`; `changed` names records by
     * their keys, of which those that are deleted are not in `records`.
     */
    'directory-list': {
      request: FollowQuestion,
      reply: FollowPage.extend({
        /** The JSON of each (shared/directory/records.ts). */
        records: z.array(z.object({ key: z.string(), json: z.string() })),
      }),
      errors: ['not-caught-up'],
      elsewhere: ['not-caught-up'],
    },
    /** Entries of a kind in the order of their names, a page at a time. */
    'entry-list': {
      request: EntryName.pick({ kind: true }).extend({ after: z.string().optional() }),
      reply: z.object({
        node: z.string(),
        behind: z.string().optional(),
        entries: z.array(DirectoryEntry),
        next: z.string().optional(),
      }),
    },
    'entry-show': { request: EntryName, reply: ChangedEntry, errors: ['not-found'] },
    'entry-delete': { request: EntryName, reply: z.object({ node: z.string() }), errors: CHANGE_ENTRY },
    /** Entries that take the place of those of their names. What is wrong with one does not stop the others. */
    'entry-import': {
      request: z.object({ entries: z.array(EntryImport).max(200) }),
      reply: z.object({
        node: z.string(),
        changed: z.number().int(),
        unchanged: z.number().int(),
        failed: z.array(z.object({ kind: z.string(), name: z.string(), code: z.string(), reason: z.string() })),
      }),
      errors: CHANGE_ENTRY,
      timeout: 120_000,
    },
    /** To whom hashes of passwords are sealed on their way here (shared/dkim/secret-seal.ts). */
    'sealing-key-show': { request: z.object({}), reply: SealingKey, errors: ['nek-mismatch', ...CHANGE] },
    'user-create': { request: UserChange, reply: ChangedEntry, errors: CHANGE_ENTRY },
    'user-change': { request: UserChange, reply: ChangedEntry, errors: CHANGE_ENTRY },
    'app-password-create': {
      request: AppPasswordRequest.extend({ user: z.string() }),
      reply: ChangedEntry,
      errors: CHANGE_ENTRY,
    },
    'app-password-revoke': {
      request: z.object({ user: z.string(), name: z.string() }),
      reply: ChangedEntry,
      errors: CHANGE_ENTRY,
    },
    /** From policy: it was used today, `2026-11-23` in UTC. Written once a day. */
    'app-password-used': {
      request: z.object({ user: z.string(), tag: z.string().max(8), day: z.iso.date() }),
      reply: z.object({}),
      errors: CHANGE_ENTRY,
    },
    /** `create`: fails with `exists` where there is one, else with `not-found` where there is none. */
    'alias-set': {
      request: z.object({ address: z.string(), targets: ListChange, create: z.boolean() }),
      reply: ChangedEntry,
      errors: CHANGE_ENTRY,
    },
    'group-set': {
      request: z.object({
        name: z.string(),
        addresses: ListChange.optional(),
        members: ListChange.optional(),
        create: z.boolean(),
      }),
      reply: ChangedEntry,
      errors: CHANGE_ENTRY,
    },
    /** A rewriting map, whole. */
    'map-set': {
      request: z.object({ name: z.string(), entries: z.record(z.string(), z.string()) }),
      reply: ChangedEntry,
      errors: CHANGE_ENTRY,
    },

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
    },
    /** Order one of the section `certificates` now, whether it is due or not; one node does it soon after the answer. */
    'certificate-order': {
      request: z.object({ name: CertificateName }),
      reply: CertificateStatus,
      errors: ['not-found', ...CHANGE],
    },
    /** `force`: also the one that the configuration names as the default. */
    'certificate-delete': {
      request: z.object({ name: CertificateName, force: z.boolean().default(false) }),
      reply: z.object({}),
      errors: ['not-found', 'in-use', ...CHANGE],
    },

    /** From store to store: a record as this node holds it, as JSON. */
    'record-copy': {
      request: z.object({ key: z.string() }),
      reply: z.object({ node: z.string(), record: z.string().optional() }),
    },
    /**
     * Write the record of a domain again, from the newest authentic copy of any node; default: every record that was
     * refused.
     */
    'record-repair': {
      request: domainName.partial(),
      reply: z.object({ repaired: z.array(RepairedRecord) }),
      errors: ['not-found', ...CHANGE],
      timeout: 120_000,
    },

    'status-show': {
      request: z.object({}),
      reply: z.object({
        node: z.string(),
        state: z.enum(['local', 'following', 'behind', 'away']),
        problem: z.string().optional(),
        revision: z.number().int(),
        keys: z.number().int(),
        /** Domains whose records this node cannot read, because a newer Sealpost wrote them; absent where there are none. */
        unreadable: z.array(z.string()).optional(),
        /** Compromised keys that may still be in DNS, `s1 of example.com`; absent where there are none. */
        exposed: z.array(z.string()).optional(),
        /** Damage of the store that an operator has not dealt with yet; absent where there is none. */
        damage: z.array(StoreDamage).optional(),
        /** Records that this node did not take in, in the last day; absent where there are none. */
        refused: z.array(RefusedRecord).optional(),
        /** Whether this node takes only records with a MAC. */
        sealed: z.boolean().optional(),
        /** The directory: how far this node follows it, and how many entries it has; absent in the version before. */
        directory: z
          .object({
            state: z.enum(['local', 'following', 'behind', 'away']),
            problem: z.string().optional(),
            revision: z.number().int(),
            entries: z.number().int(),
          })
          .optional(),
        holders: z.array(Holder),
        /** Absent in the version before. */
        policies: z.array(DirectoryHolder).optional(),
      }),
    },
  },
  events: {
    /** The keys that signers hold may have changed on this node; a signer whose revision is older asks `signing-key-list`. */
    changed: z.object({ node: z.string(), revision: z.number().int() }),
    /** The same for the directory and policy, which asks `directory-list`. */
    'directory-changed': z.object({ node: z.string(), revision: z.number().int() }),
    present: Present,
  },
});
export type CredentialStoreContract = typeof credentialStoreContract;
