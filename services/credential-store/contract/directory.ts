import { z } from 'zod';
import type { OperationSpec } from '#shared/contract.ts';
import {
  AppPasswordRequest,
  Block,
  DirectoryEntry,
  EntryImport,
  EntryName,
  ListChange,
  UserChange,
} from '#shared/directory/entries.ts';
import { BlockReason } from '#shared/directory/values.ts';
import { SealingKey } from '#shared/dkim/secret-seal.ts';
import { CHANGE, FollowPage, FollowQuestion } from './common.ts';

/** What can be asked about the directory. */

/** Errors of every operation that changes the directory. */
const CHANGE_ENTRY = ['not-found', 'exists', 'invalid', 'nek-mismatch', ...CHANGE] as const;

const ChangedEntry = z.object({ node: z.string(), entry: DirectoryEntry });

const nameOf = (entry: EntryImport): string => `${entry.kind} ${entry.kind === 'alias' ? entry.address : entry.name}`;

export const directoryOperations = {
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
  'entry-delete': {
    request: EntryName,
    reply: z.object({ node: z.string() }),
    errors: CHANGE_ENTRY,
    audited: ({ kind, name }: z.output<typeof EntryName>) => `${kind} ${name}`,
  },
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
    audited: ({ entries }: { entries: EntryImport[] }) =>
      `${entries.length} entries: ${entries.map(nameOf).join(', ')}`,
  },
  /** To whom hashes of passwords are sealed on their way here (shared/dkim/secret-seal.ts). */
  'sealing-key-show': { request: z.object({}), reply: SealingKey, errors: ['nek-mismatch', ...CHANGE] },
  'user-create': {
    request: UserChange,
    reply: ChangedEntry,
    errors: CHANGE_ENTRY,
    audited: ({ name }: { name: string }) => name,
  },
  'user-change': {
    request: UserChange,
    reply: ChangedEntry,
    errors: CHANGE_ENTRY,
    audited: ({ name }: { name: string }) => name,
  },
  /** Who is blocked, of whatever source, in the order of their names, a page at a time. */
  'block-list': {
    request: z.object({ after: z.string().optional() }),
    reply: z.object({
      node: z.string(),
      behind: z.string().optional(),
      blocks: z.array(Block),
      next: z.string().optional(),
    }),
  },
  /** The user of this name logs in nowhere from now on, and sends nothing more where that has happened. */
  'user-block': {
    /** `since`: of a block that is imported. */
    request: z.object({ name: z.string().max(1000), reason: BlockReason.optional(), since: z.number().optional() }),
    reply: z.object({ node: z.string(), changed: z.boolean() }),
    errors: ['invalid', ...CHANGE],
    audited: ({ name, reason }: { name: string; reason?: string | undefined }) =>
      reason === undefined || reason === '' ? name : `${name}: ${reason}`,
  },
  'user-unblock': {
    request: z.object({ name: z.string().max(1000) }),
    reply: z.object({ node: z.string() }),
    errors: ['not-found', ...CHANGE],
    audited: ({ name }: { name: string }) => name,
  },
  'app-password-create': {
    request: AppPasswordRequest.extend({ user: z.string() }),
    reply: ChangedEntry,
    errors: CHANGE_ENTRY,
    audited: ({ user, name }: { user: string; name: string }) => `${name} of ${user}`,
  },
  'app-password-revoke': {
    request: z.object({ user: z.string(), name: z.string() }),
    reply: ChangedEntry,
    errors: CHANGE_ENTRY,
    audited: ({ user, name }: { user: string; name: string }) => `${name} of ${user}`,
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
    audited: ({ address }: { address: string }) => address,
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
    audited: ({ name }: { name: string }) => name,
  },
  /** A rewriting map, whole. */
  'map-set': {
    request: z.object({ name: z.string(), entries: z.record(z.string(), z.string()) }),
    reply: ChangedEntry,
    errors: CHANGE_ENTRY,
    audited: ({ name }: { name: string }) => name,
  },
} as const satisfies Record<string, OperationSpec>;
