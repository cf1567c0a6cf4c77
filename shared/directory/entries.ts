import { z } from 'zod';
import { SealedSecret } from '../dkim/secret-seal.ts';
import { AliasRecord, BlockRecord, type DirectoryRecord, ENTRY_KINDS, GroupRecord, MapRecord } from './records.ts';

/**
 * Entries of the cluster's directory as commands see them, and as they send them: without what only stores and policy may
 * read. The lists of a request are checked by the record that they become, so that what is wrong has a text.
 */

const Name = z.string().min(1).max(1000);
const Names = z.array(Name).max(10_000);
/** ISO 8601, a day. */
const Day = z.string().max(10);

const AppPasswordEntry = z.object({
  tag: z.string().max(8),
  name: z.string(),
  networks: z.array(z.string()),
  /** ms since 1970 */
  created: z.number(),
  lastUsed: Day.optional(),
});

export const UserEntry = z.object({
  kind: z.literal('user'),
  name: z.string(),
  addresses: z.array(z.string()),
  onBehalfOf: z.array(z.string()),
  hasPassword: z.boolean(),
  appPasswords: z.array(AppPasswordEntry),
});
export type UserEntry = z.infer<typeof UserEntry>;

export const DirectoryEntry = z.discriminatedUnion('kind', [UserEntry, AliasRecord, GroupRecord, MapRecord]);
export type DirectoryEntry = z.infer<typeof DirectoryEntry>;
export type EntryOf<Kind extends DirectoryEntry['kind']> = Extract<DirectoryEntry, { kind: Kind }>;

export const EntryName = z.object({ kind: z.enum(ENTRY_KINDS), name: Name });

/** A change of a list: `set` replaces it, then `remove` and `add` follow. */
export const ListChange = z.object({ set: Names.optional(), add: Names.optional(), remove: Names.optional() });
export type ListChange = z.infer<typeof ListChange>;

/** Hashes of passwords come sealed (shared/dkim/secret-seal.ts). */
export const UserChange = z.object({
  name: Name,
  password: SealedSecret.optional(),
  addresses: ListChange.optional(),
  onBehalfOf: ListChange.optional(),
});

export const AppPasswordRequest = z.object({
  tag: z.string().max(8),
  name: Name,
  networks: Names,
  password: SealedSecret,
});

/** A whole entry that takes the place of one that is there. */
export const EntryImport = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('user'),
    name: Name,
    addresses: Names,
    onBehalfOf: Names,
    password: SealedSecret.optional(),
    /** Absent: those that are there stay. */
    appPasswords: z
      .array(AppPasswordRequest.extend({ created: z.number(), lastUsed: Day.optional() }))
      .max(100)
      .optional(),
  }),
  z.object({ kind: z.literal('alias'), address: Name, targets: Names }),
  z.object({ kind: z.literal('group'), name: Name, addresses: Names, members: Names }),
  z.object({ kind: z.literal('map'), name: Name, entries: z.record(z.string().max(320), z.string().max(320)) }),
]);
export type EntryImport = z.infer<typeof EntryImport>;

/** A user who is blocked. */
export const Block = BlockRecord.omit({ kind: true });
export type Block = z.infer<typeof Block>;

export function entryOf(record: Exclude<DirectoryRecord, BlockRecord>): DirectoryEntry {
  if (record.kind !== 'user') return record;
  const { kind, name, addresses, onBehalfOf, password, appPasswords } = record;
  return {
    ...{ kind, name, addresses, onBehalfOf },
    hasPassword: password !== undefined,
    appPasswords: appPasswords.map(({ password: _, ...rest }) => rest),
  };
}
