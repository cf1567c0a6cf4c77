import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { DirectoryHolder, Holder, NekStatus, PresentHolder } from '#shared/keys/holders.ts';
import { StoreDamage } from '#shared/store-damage.ts';
import { webhookOperations } from '#shared/webhooks/status.ts';
import { auditOperations } from './contract/audit.ts';
import { certificateOperations } from './contract/certificates.ts';
import { CHANGE } from './contract/common.ts';
import { directoryOperations } from './contract/directory.ts';
import { keyOperations } from './contract/keys.ts';
import { tlsRecordOperations } from './contract/tls-records.ts';

/**
 * The credential-store owns the DKIM keys: their life, their records in DNS, their copies on every node. Private keys
 * leave it only wrapped by a named encryption key (NEK). It owns the cluster's directory too: users, their passwords,
 * aliases, groups; hashes of passwords leave it only wrapped, and come to it sealed. Signer, policy and credential-store
 * processes alone can read a NEK. And it owns the certificates of the listeners, whose private keys are wrapped by NEKs of
 * their own, which listeners and credential-stores alone can read.
 */

/** The buckets of NATS JetStream that carry the changes of its records from node to node: of keys, and of the directory. */
export const CREDENTIALS_BUCKET = 'sealpost-credentials';
export const DIRECTORY_BUCKET = 'sealpost-directory';

/** Which records: of keys, certificates and NEKs, or of users, aliases and groups. */
export const RecordMap = z.enum(['keys', 'directory']);
export type RecordMap = z.infer<typeof RecordMap>;

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

export const credentialStoreContract = defineContract('credential-store', 1, {
  operations: {
    ...keyOperations,

    ...tlsRecordOperations,

    'nek-list': { request: z.object({}), reply: z.object({ neks: z.array(NekStatus) }), repeatable: true },
    /** Initialize the store with a NEK (Domino's `create credstore`). */
    'nek-use': {
      request: z.object({ name: z.string() }),
      reply: NekStatus,
      errors: ['exists', 'nek-mismatch', ...CHANGE],
      audited: ({ name }: { name: string }) => name,
    },
    /** Make another NEK the current one and re-wrap every key with it. */
    'nek-rotate': {
      request: z.object({ name: z.string() }),
      reply: z.object({ nek: NekStatus, rewrapped: z.number().int() }),
      errors: ['nek-missing-on-node', 'nek-mismatch', ...CHANGE],
      timeout: 120_000,
      audited: ({ name }: { name: string }) => name,
    },
    /** Remove a NEK that no longer wraps any key. */
    'nek-delete': {
      request: z.object({ name: z.string() }),
      reply: z.object({}),
      errors: ['not-found', 'in-use', ...CHANGE],
      audited: ({ name }: { name: string }) => name,
    },

    ...directoryOperations,
    ...certificateOperations,
    ...auditOperations,
    ...webhookOperations,

    /** From store to store: a record as this node holds it, as JSON. */
    'record-copy': {
      request: z.object({ key: z.string() }),
      reply: z.object({ node: z.string(), record: z.string().optional() }),
    },
    /**
     * For a backup: every record of a map as this node holds it, as JSON, tombstones among them, in the order of their keys.
     * `lost`: how many were on its disk and cannot be read; in the first page. A node that has yet to catch up answers
     * `not-caught-up`.
     */
    'record-list': {
      request: z.object({ map: RecordMap, after: z.string().optional() }),
      reply: z.object({
        node: z.string(),
        behind: z.string().optional(),
        records: z.array(z.string()),
        lost: z.number().int(),
        next: z.string().optional(),
      }),
      errors: ['not-caught-up'],
      elsewhere: ['not-caught-up'],
      audited: ({ map, after }: { map: RecordMap; after?: string | undefined }) =>
        after === undefined
          ? `all records of ${map === 'keys' ? 'keys and certificates' : 'the directory'}`
          : undefined,
    },
    /**
     * Write the record of a domain again, from the newest authentic copy of any node; default: every record that was
     * refused.
     */
    'record-repair': {
      request: z.object({ domain: z.string().optional() }),
      reply: z.object({ repaired: z.array(RepairedRecord) }),
      errors: ['not-found', ...CHANGE],
      timeout: 120_000,
      audited: ({ domain }: { domain?: string | undefined }) => domain ?? 'every record that was refused',
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
    present: PresentHolder,
  },
});
export type CredentialStoreContract = typeof credentialStoreContract;
