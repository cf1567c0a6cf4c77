import { z } from 'zod';
import type { OperationSpec } from '#shared/contract.ts';
import { WrappedKey } from '#shared/dkim/key-wrap.ts';
import { KeyAlgorithm, KeyInfo, SigningKey } from '#shared/keys/key.ts';
import { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import { RotationStatus, ScheduleStatus } from '#shared/keys/rotation.ts';
import { CHANGE, FollowPage, FollowQuestion } from './common.ts';

/** What can be asked about DKIM keys, their rotations and their records in DNS. */

const keyName = z.object({ domain: z.string(), selector: z.string() });
const domainName = z.object({ domain: z.string() });
const ofKey = ({ domain, selector }: z.output<typeof keyName>): string => `${selector} of ${domain}`;
const ofDomain = ({ domain }: z.output<typeof domainName>): string => domain;

export const keyOperations = {
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
    audited: ofKey,
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
    audited: ofKey,
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
  'key-export': { request: keyName, reply: SigningKey, errors: ['not-found', 'erased'], audited: ofKey },

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
    audited: ofDomain,
  },
  'rotation-show': { request: domainName, reply: RotationStatus, errors: ['not-found'], repeatable: true },
  'rotation-freeze': {
    request: domainName.extend({ reason: z.string().default('') }),
    reply: RotationStatus,
    errors: ['not-found', 'wrong-state', ...CHANGE],
    audited: ofDomain,
  },
  /** Continue after `freeze`, or try again after a permanent problem of the domain's keys. */
  'rotation-resume': {
    request: domainName,
    reply: z.object({}),
    errors: ['not-found', 'wrong-state', ...CHANGE],
    audited: ofDomain,
  },
  'rotation-rollback': {
    request: domainName,
    reply: RotationStatus,
    errors: ['not-found', 'wrong-state', ...CHANGE],
    audited: ofDomain,
  },

  'key-activate': {
    request: keyName,
    reply: KeyStatus,
    errors: ['not-found', 'wrong-state', ...CHANGE],
    audited: ofKey,
  },
  /** Stop signing with it; `force`: also when it is the domain's last active key. */
  'key-retire': {
    request: keyName.extend({ force: z.boolean().default(false) }),
    reply: KeyStatus,
    errors: ['not-found', 'wrong-state', 'last-key', ...CHANGE],
    audited: ofKey,
  },
  /** Declare it compromised: it stops signing and its record is revoked immediately. */
  'key-revoke': {
    request: keyName.extend({ force: z.boolean().default(false) }),
    reply: KeyStatus,
    errors: ['not-found', 'wrong-state', 'last-key', ...CHANGE],
    audited: ofKey,
  },
  /** Remove a key that never signed, or one that is revoked, with its record. */
  'key-delete': {
    request: keyName,
    reply: z.object({}),
    errors: ['not-found', 'wrong-state', ...CHANGE],
    audited: ofKey,
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
    audited: ofDomain,
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
} as const satisfies Record<string, OperationSpec>;
