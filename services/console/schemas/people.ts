import { z } from 'zod';
import { parseNetwork } from '#shared/address/ip-address.ts';
import { Block, UserEntry } from '#shared/directory/entries.ts';
import { AliasRecord, GroupRecord } from '#shared/directory/records.ts';
import { BlockReason, MailAddress, PermittedSender, UserName } from '#shared/directory/values.ts';

/** Users, aliases, groups and locks. Times are ms since 1970. */

export const UserListed = UserEntry.omit({ kind: true }).extend({
  /** `file`: of the users file of the node that answers, which is changed there alone; its app passwords are not listed. */
  place: z.enum(['cluster', 'file']),
  /** The user logs in nowhere. */
  blocked: Block.omit({ name: true }).partial({ since: true }).optional(),
});
export type UserListed = z.infer<typeof UserListed>;

export const UserListReply = z.object({
  /** Which node answered, and why it may not know the newest. */
  node: z.string(),
  behind: z.string().optional(),
  users: z.array(UserListed),
  /** The users file of the node of this console. */
  file: z.object({ path: z.string(), problem: z.string().optional() }).optional(),
  /** LDAP servers, whose users cannot be listed. */
  ldap: z.array(z.string()),
  /** Who is blocked and not among the users: of LDAP, of users files of other nodes, or of nobody now. */
  blocked: z.array(Block),
  /** The directory has no entry yet: with the first, recipients of local domains must be in a directory. */
  first: z.boolean(),
});
export type UserListReply = z.infer<typeof UserListReply>;

export const UserParam = z.object({ user: z.string().min(1).max(255) });
export const AppPasswordParam = UserParam.extend({ name: z.string().min(1).max(255) });

const Password = z.string().min(1, 'the password is empty').max(1000);
const Senders = z.array(PermittedSender).max(100);

export const NewUser = z.strictObject({
  name: UserName,
  password: Password,
  addresses: Senders,
  onBehalfOf: Senders.default([]),
});
export const NewPassword = z.strictObject({ password: Password });
export const NewAddresses = z.strictObject({ addresses: Senders, onBehalfOf: Senders });
export const NewAppPassword = z.strictObject({
  name: UserName,
  /** From which alone it is right; none: anywhere. */
  networks: z.array(z.string().max(64)).max(100).default([]),
});
/** The password is told this once. */
export const AppPasswordMade = z.object({ password: z.string() });
export type AppPasswordMade = z.infer<typeof AppPasswordMade>;

export const BlockUser = z.strictObject({ reason: BlockReason.default('') });

export const ListsReply = z.object({
  aliases: z.array(AliasRecord),
  groups: z.array(GroupRecord),
  /** As for users. */
  first: z.boolean(),
});
export type ListsReply = z.infer<typeof ListsReply>;

export const AliasParam = z.object({ address: MailAddress });
export const GroupParam = z.object({ group: z.string().min(1).max(255) });
export const NewTargets = AliasRecord.pick({ targets: true }).strict();
export const NewAlias = AliasRecord.omit({ kind: true }).strict();
export const NewGroup = GroupRecord.omit({ kind: true }).strict();
export const GroupChange = NewGroup.omit({ name: true });

const LockShown = z.object({
  user: z.string().optional(),
  network: z.string().optional(),
  failures: z.number(),
  /** So many in so many ms. */
  limit: z.object({ count: z.number(), per: z.number() }),
  /** When it opens by itself. */
  opens: z.number(),
  nodes: z.array(z.string()),
});
export type LockShown = z.infer<typeof LockShown>;

export const LocksReply = z.object({
  locks: z.array(LockShown),
  /** How many are left out. */
  more: z.number(),
  /** Nodes whose locks are not known, and why. */
  silent: z.array(z.object({ node: z.string(), reason: z.string() })),
});
export type LocksReply = z.infer<typeof LocksReply>;

/** Both: the lock of this user from this network alone. */
export const LockLift = z
  .strictObject({
    user: z.string().min(1).max(1000).optional(),
    network: z
      .string()
      .max(100)
      .refine((text) => parseNetwork(text) !== undefined, { error: 'expected an IP address or a network' })
      .optional(),
  })
  .refine(({ user, network }) => user !== undefined || network !== undefined, { error: 'name a user or a network' });
