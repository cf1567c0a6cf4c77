import { z } from 'zod';
import { mailboxKey } from '../address/canonical-address.ts';
import { parseNetwork } from '../address/ip-address.ts';
import { WrappedSecret } from '../dkim/secret-wrap.ts';
import { BlockReason, MailAddress, PermittedSender, UserName, userKey } from './values.ts';

/**
 * The records of the cluster's directory: who there is, who may log in, where mail goes. One replicated record each, so
 * that a change of one user never meets that of another; its key is `<kind>!<name>`, the name in the form in which it is
 * compared. Every node has all of them.
 *
 * A password is never here in clear, nor is its hash: only the hash wrapped by a NEK (shared/dkim/secret-wrap.ts), bound
 * to its place (password-place.ts).
 */

const Network = z
  .string()
  .max(64)
  .refine((text) => parseNetwork(text) !== undefined, {
    error: (issue) => `"${String(issue.input)}" is not an IP address or network`,
  });

/** A password for one program of a user, made here and shown once. */
export const AppPassword = z.object({
  /** The first group of its characters, by which it is found among those of the user; it is not secret. */
  tag: z.string().regex(/^[a-z2-7]{4}$/, 'is not the first group of an app password'),
  /** What the user calls it. */
  name: UserName,
  password: WrappedSecret,
  /** Networks from which alone it is right; none: all. */
  networks: z.array(Network).max(100),
  /** ms since 1970 */
  created: z.number(),
  /** The day it was used last, `2026-11-23` in UTC; absent where never. */
  lastUsed: z.string().max(10).optional(),
});
export type AppPassword = z.infer<typeof AppPassword>;

export const MOST_APP_PASSWORDS = 50;

export const UserRecord = z.object({
  kind: z.literal('user'),
  /** As it was written; neither case nor Unicode form counts. */
  name: UserName,
  /** Full addresses are mailboxes; `@domain` and `*` only widen what the user may send as. */
  addresses: z.array(PermittedSender).max(1000),
  /** For whom the user may send with an own address as Sender. */
  onBehalfOf: z.array(PermittedSender).max(1000),
  /** Absent: the user does not log in with a password of this directory. */
  password: WrappedSecret.optional(),
  appPasswords: z.array(AppPassword).max(MOST_APP_PASSWORDS),
});
export type UserRecord = z.infer<typeof UserRecord>;

export const AliasRecord = z.object({
  kind: z.literal('alias'),
  address: MailAddress,
  targets: z.array(MailAddress).min(1).max(1000),
});
export type AliasRecord = z.infer<typeof AliasRecord>;

export const GroupRecord = z.object({
  kind: z.literal('group'),
  name: UserName,
  /** Where mail for its members goes to; none: it is only a part of other groups, or of rules. */
  addresses: z.array(MailAddress).max(100),
  /** Addresses, and names of users and of other groups. */
  members: z.array(z.union([MailAddress, UserName])).max(10_000),
});
export type GroupRecord = z.infer<typeof GroupRecord>;

/** A rewriting map: what is looked up, and what it becomes. */
export const MapRecord = z.object({
  kind: z.literal('map'),
  name: UserName,
  entries: z.record(z.string().max(320), z.string().max(320)),
});
export type MapRecord = z.infer<typeof MapRecord>;

/**
 * The user of this name logs in nowhere, whatever source knows the user: the users file of a node, this directory, LDAP. A
 * record of its own, and not a part of the user's: a store of the version before would drop what it does not know when it
 * writes the user again, and leaves alone a record that it cannot read.
 */
export const BlockRecord = z.object({
  kind: z.literal('block'),
  name: UserName,
  reason: BlockReason.optional(),
  /** ms since 1970 */
  since: z.number(),
});
export type BlockRecord = z.infer<typeof BlockRecord>;

export const DirectoryRecord = z.discriminatedUnion('kind', [
  UserRecord,
  AliasRecord,
  GroupRecord,
  MapRecord,
  BlockRecord,
]);
export type DirectoryRecord = z.infer<typeof DirectoryRecord>;
export type DirectoryKind = DirectoryRecord['kind'];
/** Of what the directory is made of. */
export const ENTRY_KINDS = ['user', 'alias', 'group', 'map'] as const satisfies DirectoryKind[];
export type EntryKind = (typeof ENTRY_KINDS)[number];
/** And blocks, which say something about users. */
export const DIRECTORY_KINDS = [...ENTRY_KINDS, 'block'] as const satisfies DirectoryKind[];

/** The key of the record of a user, group, map or block by its name, of an alias by its canonical address. */
export function directoryKey(kind: DirectoryKind, name: string): string {
  return `${kind}!${kind === 'alias' ? mailboxKey(name) : userKey(name)}`;
}

export function keyOfRecord(record: DirectoryRecord): string {
  return directoryKey(record.kind, record.kind === 'alias' ? record.address : record.name);
}
